#include "deskhand/ops/attention.h"

#include "deskhand/ops/cpu/attend.h"
#include "deskhand/ops/cpu/split.h"

namespace deskhand::cpu {

void attention(const Backend& on, View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds,
               AttentionOptions options, View logsumexp) {
  const std::int64_t heads = q.shape()[1], groups = k.shape()[1], width = q.shape()[2], share = heads / groups;
  const std::int64_t tokens_a_block = block_tokens(share), floats = attend_scratch(share, width);
  float* const scratch = on.workspace->get<float>(0, floats * on.pool->size());
  const auto units_of = [&](std::size_t i) { return (bounds[i + 1] - bounds[i] + tokens_a_block - 1) / tokens_a_block * groups; };
  std::int64_t units = 0;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) units += units_of(i);
  split(on, units, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
    std::int64_t first = 0;
    for (std::size_t i = 0; i + 1 < bounds.size(); first += units_of(i++))
      for (std::int64_t unit = std::max(begin, first); unit < std::min(end, first + units_of(i)); ++unit) {
        const std::int64_t group = (unit - first) % groups, from = (unit - first) / groups * tokens_a_block, row = bounds[i] + from;
        const std::int64_t length = bounds[i + 1] - bounds[i], at = row * heads + group * share;
        AttendBlock block{.q = q.floats().data() + at * width, .out = out.floats().data() + at * width};
        if (!logsumexp.empty()) block.logsumexp = logsumexp.floats().data() + at;
        block.stride = heads * width;
        block.logsumexp_stride = heads;
        block.tokens = std::min(tokens_a_block, length - from);
        block.heads = share;
        block.width = width;
        block.causal = options.causal;
        block.seen = options.causal ? from + 1 : length;
        block.scale = options.scale;
        const std::int64_t first_key = (bounds[i] * groups + group) * width;
        block.from = {.keys = reinterpret_cast<const std::byte*>(k.floats().data() + first_key),
                      .values = reinterpret_cast<const std::byte*>(v.floats().data() + first_key),
                      .row = groups * width};
        attend(on, block, scratch + worker * floats);
      }
  });
}

}  // namespace deskhand::cpu
