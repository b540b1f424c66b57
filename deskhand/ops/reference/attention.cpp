#include "deskhand/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace deskhand::reference {
namespace {

// The keys that a row of a sequence may see: rows of the batch.
std::vector<std::int64_t> keys_of(std::span<const std::int32_t> bounds, std::size_t sequence, std::int64_t row,
                                  const AttentionOptions& options) {
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; sequence > 0 && i < options.shared; ++i) keys.push_back(bounds.front() + i);
  for (std::int64_t key = bounds[sequence]; key < (options.causal ? row + 1 : bounds[sequence + 1]); ++key) keys.push_back(key);
  return keys;
}

}  // namespace

void attention(View out, ConstView q, ConstView k, ConstView v, std::span<const std::int32_t> bounds, AttentionOptions options,
               View logsumexp) {
  const std::int64_t heads = q.shape()[1], groups = k.shape()[1], width = q.shape()[2];
  const float *const queries = q.floats().data(), *const k_begin = k.floats().data(), *const v_begin = v.floats().data();
  for (std::size_t sequence = 0; sequence + 1 < bounds.size(); ++sequence)
    for (std::int64_t row = bounds[sequence]; row < bounds[sequence + 1]; ++row)
      for (std::int64_t head = 0; head < heads; ++head) {
        const std::int64_t group = head / (heads / groups);
        const std::vector<std::int64_t> keys = keys_of(bounds, sequence, row, options);
        std::vector<double> score(keys.size()), sum(static_cast<std::size_t>(width));
        double largest = -std::numeric_limits<double>::infinity(), total = 0;
        for (std::size_t i = 0; i < keys.size(); ++i) {
          const float *const query = queries + (row * heads + head) * width, *const key = k_begin + (keys[i] * groups + group) * width;
          double dot = 0;
          for (std::int64_t d = 0; d < width; ++d) dot += static_cast<double>(query[d]) * key[d];
          score[i] = dot * options.scale;
          largest = std::max(largest, score[i]);
        }
        for (double& s : score) total += s = std::exp(s - largest);
        for (std::size_t i = 0; i < keys.size(); ++i) {
          const float* const value = v_begin + (keys[i] * groups + group) * width;
          for (std::int64_t d = 0; d < width; ++d) sum[d] += score[i] / total * value[d];
        }
        for (std::int64_t d = 0; d < width; ++d) out.floats()[(row * heads + head) * width + d] = static_cast<float>(sum[d]);
        if (!logsumexp.empty()) logsumexp.floats()[row * heads + head] = static_cast<float>(largest + std::log(total));
      }
}

void attention_backward(const AttentionGradients& gradients, ConstView d_out, const AttentionForward& forward,
                        std::span<const std::int32_t> bounds, AttentionOptions options) {
  const std::int64_t heads = forward.q.shape()[1], groups = forward.k.shape()[1], width = forward.q.shape()[2];
  const auto queries = static_cast<std::size_t>(forward.q.shape().elements()),
             keys = static_cast<std::size_t>(forward.k.shape().elements());
  std::vector<double> d_q(queries), d_k(keys), d_v(keys);
  const float *q = forward.q.floats().data(), *k = forward.k.floats().data(), *v = forward.v.floats().data();
  for (std::size_t sequence = 0; sequence + 1 < bounds.size(); ++sequence)
    for (std::int64_t row = bounds[sequence]; row < bounds[sequence + 1]; ++row)
      for (std::int64_t head = 0; head < heads; ++head) {
        const std::int64_t at = (row * heads + head) * width, group = head / (heads / groups);
        const float* const d = d_out.floats().data() + at;
        double delta = 0;
        for (std::int64_t i = 0; i < width; ++i) delta += static_cast<double>(d[i]) * forward.out.floats()[at + i];
        for (const std::int64_t key : keys_of(bounds, sequence, row, options)) {
          const std::int64_t from = (key * groups + group) * width;
          double score = 0, d_weight = 0;
          for (std::int64_t i = 0; i < width; ++i) {
            score += static_cast<double>(q[at + i]) * k[from + i];
            d_weight += static_cast<double>(d[i]) * v[from + i];
          }
          const double weight = std::exp(score * options.scale - forward.logsumexp.floats()[row * heads + head]);
          const double d_score = weight * (d_weight - delta) * options.scale;
          for (std::int64_t i = 0; i < width; ++i) {
            d_q[at + i] += d_score * k[from + i];
            d_k[from + i] += d_score * q[at + i];
            d_v[from + i] += weight * d[i];
          }
        }
      }
  const auto copy = [&](View to, const std::vector<double>& from) {
    const std::int64_t step = to.shape()[1] * width;
    for (std::int64_t i = bounds.front() * step; i < bounds.back() * step; ++i) to.floats()[i] = static_cast<float>(from[i]);
  };
  copy(gradients.d_q, d_q);
  copy(gradients.d_k, d_k);
  copy(gradients.d_v, d_v);
}

}  // namespace deskhand::reference
