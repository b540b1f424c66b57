#include "deskhand/ops/quantize.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void quantize(const Backend& on, View out, ConstView in) {
  const std::int64_t width = in.shape().last(), rows = in.shape().rows();
  split(on, rows, grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    const auto part = [&](auto view) { return view.reshaped({rows, width}).rows(begin, end - begin); };
    reference::quantize(part(out), part(in));
  });
}

}  // namespace deskhand::cpu
