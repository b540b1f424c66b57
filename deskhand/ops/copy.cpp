#include "deskhand/ops/copy.h"

#include <cstring>

namespace deskhand {

void copy(const Backend& on, View out, ConstView in) {
  DESKHAND_ASSERT(out.type() == in.type() && out.bytes() == in.bytes(), "views of one type and as many elements");
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::copy(on, out, in);
  if (out.bytes() > 0) std::memcpy(out.data(), in.data(), in.raw().size());
}

void clear(const Backend& on, View out) {
  if constexpr (kCudaBuilt)
    if (on.kind == Backend::Kind::kCuda) return cuda::clear(on, out);
  if (out.bytes() > 0) std::memset(out.data(), 0, out.raw().size());
}

}  // namespace deskhand
