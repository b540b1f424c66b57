#include "deskhand/ops/rope.h"

#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void rope(const Backend& on, View out, std::span<const std::int32_t> positions, const RopeTable& table, bool inverse) {
  split(on, out.shape()[0], grain_of_rows(out.shape().elements() / std::max<std::int64_t>(1, out.shape()[0])),
        [&](std::int64_t begin, std::int64_t end, int) {
          reference::rope(out.rows(begin, end - begin), positions.subspan(begin, end - begin), table, inverse);
        });
}

}  // namespace deskhand::cpu
