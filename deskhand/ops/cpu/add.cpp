#include "deskhand/ops/add.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void add(const Backend& on, View out, ConstView a, ConstView b) {
  split(on, out.shape()[0], grain_of_rows(out.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          reference::add(out.rows(begin, end - begin), a.rows(begin, end - begin), b.rows(begin, end - begin));
        });
}

}  // namespace deskhand::cpu
