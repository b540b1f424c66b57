#include "deskhand/ops/paged_attention.h"

#include <cstring>

#include "deskhand/ops/cpu/attend.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void store_keys_values(const Backend& on, const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  const std::int64_t width = k.shape()[1] * k.shape()[2], page_tokens = pages.page_tokens();
  const auto put = [&](View to, std::int64_t at, const float* from) {
    if (to.type() == DType::kF32)
      std::memcpy(to.floats().data() + at, from, static_cast<std::size_t>(width) * sizeof(float));
    else
      narrow_to_f16(on, to.as<std::uint16_t>().data() + at, from, width);
  };
  split(on, bounds.back() - bounds.front(), grain_of_rows(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::size_t i = 0; i < sequences.size(); ++i)
      for (std::int64_t row = std::max<std::int64_t>(bounds.front() + begin, bounds[i]);
           row < std::min<std::int64_t>(bounds.front() + end, bounds[i + 1]); ++row) {
        const std::int64_t token = sequences[i].length - (bounds[i + 1] - row);
        const std::int64_t at = (sequences[i].pages[token / page_tokens] * page_tokens + token % page_tokens) * width;
        put(pages.keys, at, k.floats().data() + row * width);
        put(pages.values, at, v.floats().data() + row * width);
      }
  });
}

void paged_attention(const Backend& on, View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  const std::int64_t heads = q.shape()[1], groups = pages.keys.shape()[2], width = q.shape()[2], share = heads / groups;
  const std::int64_t tokens_a_block = block_tokens(share), floats = attend_scratch(share, width);
  float* const scratch = on.workspace->get<float>(0, floats * on.pool->size());
  const auto units_of = [&](std::size_t i) { return (bounds[i + 1] - bounds[i] + tokens_a_block - 1) / tokens_a_block * groups; };
  std::int64_t units = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) units += units_of(i);
  split(on, units, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < sequences.size(); first += units_of(i++))
      for (std::int64_t unit = std::max(begin, first); unit < std::min(end, first + units_of(i)); ++unit) {
        const std::int64_t group = (unit - first) % groups, from = (unit - first) / groups * tokens_a_block;
        const std::int64_t fresh = bounds[i + 1] - bounds[i], at = ((bounds[i] + from) * heads + group * share) * width;
        const std::int64_t bytes = group * width * block_bytes(pages.keys.type());
        AttendBlock block{.q = q.floats().data() + at, .out = out.floats().data() + at};
        block.stride = heads * width;
        block.tokens = std::min(tokens_a_block, fresh - from);
        block.heads = share;
        block.width = width;
        block.seen = sequences[i].length - fresh + from + 1;
        block.scale = scale;
        block.from = {.keys = pages.keys.data() + bytes,
                      .values = pages.values.data() + bytes,
                      .is_half = pages.keys.type() == DType::kF16,
                      .row = groups * width,
                      .pages = sequences[i].pages.data(),
                      .page_tokens = pages.page_tokens()};
        attend(on, block, scratch + worker * floats);
      }
  });
}

}  // namespace deskhand::cpu
