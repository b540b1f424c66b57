#include "deskhand/ops/paged_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace deskhand::reference {
namespace {

// Where the element (token, group 0, 0) of a sequence lies in a page tensor.
std::int64_t token_offset(const KvPages& pages, const KvSequence& sequence, std::int64_t token) {
  const std::int64_t page_tokens = pages.page_tokens(), row = pages.keys.shape()[2] * pages.keys.shape()[3];
  return (sequence.pages[token / page_tokens] * page_tokens + token % page_tokens) * row;
}

double element(ConstView pages, std::int64_t index) {
  return pages.type() == DType::kF32 ? pages.floats()[index] : from_f16(pages.as<std::uint16_t>()[index]);
}

void set_element(View pages, std::int64_t index, float value) {
  if (pages.type() == DType::kF32)
    pages.floats()[index] = value;
  else
    pages.as<std::uint16_t>()[index] = to_f16(value);
}

}  // namespace

void store_keys_values(const KvPages& pages, ConstView k, ConstView v, std::span<const KvSequence> sequences,
                       std::span<const std::int32_t> bounds) {
  const std::int64_t width = k.shape()[1] * k.shape()[2];
  for (std::size_t i = 0; i < sequences.size(); ++i)
    for (std::int64_t row = bounds[i]; row < bounds[i + 1]; ++row) {
      const std::int64_t to = token_offset(pages, sequences[i], sequences[i].length - (bounds[i + 1] - row));
      for (std::int64_t d = 0; d < width; ++d) {
        set_element(pages.keys, to + d, k.floats()[row * width + d]);
        set_element(pages.values, to + d, v.floats()[row * width + d]);
      }
    }
}

void paged_attention(View out, ConstView q, const KvPages& pages, std::span<const KvSequence> sequences,
                     std::span<const std::int32_t> bounds, float scale) {
  const std::int64_t heads = q.shape()[1], groups = pages.keys.shape()[2], width = q.shape()[2];
  for (std::size_t i = 0; i < sequences.size(); ++i)
    for (std::int64_t row = bounds[i]; row < bounds[i + 1]; ++row)
      for (std::int64_t head = 0; head < heads; ++head) {
        const std::int64_t group = head / (heads / groups), seen = sequences[i].length - (bounds[i + 1] - row) + 1;
        std::vector<double> score(static_cast<std::size_t>(seen)), sum(static_cast<std::size_t>(width));
        double largest = -std::numeric_limits<double>::infinity(), total = 0;
        for (std::int64_t key = 0; key < seen; ++key) {
          const std::int64_t from = token_offset(pages, sequences[i], key) + group * width;
          double dot = 0;
          for (std::int64_t d = 0; d < width; ++d) dot += q.floats()[(row * heads + head) * width + d] * element(pages.keys, from + d);
          score[key] = dot * scale;
          largest = std::max(largest, score[key]);
        }
        for (double& s : score) total += s = std::exp(s - largest);
        for (std::int64_t key = 0; key < seen; ++key) {
          const std::int64_t from = token_offset(pages, sequences[i], key) + group * width;
          for (std::int64_t d = 0; d < width; ++d) sum[d] += score[key] / total * element(pages.values, from + d);
        }
        for (std::int64_t d = 0; d < width; ++d) out.floats()[(row * heads + head) * width + d] = static_cast<float>(sum[d]);
      }
}

}  // namespace deskhand::reference
