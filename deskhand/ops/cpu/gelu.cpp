#include "deskhand/ops/gelu.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void gelu(const Backend& on, View out, ConstView a) {
  split(on, out.shape()[0], grain_of_rows(out.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) { reference::gelu(out.rows(begin, end - begin), a.rows(begin, end - begin)); });
}

}  // namespace deskhand::cpu
