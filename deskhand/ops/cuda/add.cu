// Bound by memory: three elements moved for one.
#include "deskhand/ops/add.h"
#include "deskhand/ops/cuda/map.cuh"

namespace deskhand::cuda {
namespace {

struct Sum {
  __device__ void operator()(float* out, const float* in) const { out[0] = in[0] + in[1]; }
};

}  // namespace

void add(const Backend& on, View out, ConstView a, ConstView b) {
  require_gpu(on, {out, a, b});
  with_type(out.type(), [&](auto type) { map<decltype(type)>(on, out.shape().elements(), {out}, {a, b}, Sum()); });
}

}  // namespace deskhand::cuda
