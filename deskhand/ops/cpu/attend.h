// The block that attention and paged_attention share: softmax(q k^T scale) v of some tokens' query heads that read one key head, keys taken
// in runs of 64 and the softmax corrected as they come (Dao et al., 2022, "FlashAttention").
#pragma once
#include <algorithm>
#include <cstdint>

#include "deskhand/ops/backend.h"

namespace deskhand::cpu {

// Where one head's keys and values of a sequence lie; token t is row t, or row t % page_tokens of page pages[t / page_tokens].
struct KeySource {
  const std::byte* keys = nullptr;  // of the head, token 0 (of page 0)
  const std::byte* values = nullptr;
  bool is_half = false;  // f16, else f32
  std::int64_t row = 0;  // elements from token to token
  const std::int32_t* pages = nullptr;
  std::int64_t page_tokens = 0;

  std::int64_t offset(std::int64_t token) const {
    return (pages ? pages[token / page_tokens] * page_tokens + token % page_tokens : token) * row;
  }
};

struct AttendBlock {
  const float* q = nullptr;    // (tokens, heads, D) with `stride` floats from token to token
  float* out = nullptr;        // the same
  float* logsumexp = nullptr;  // (tokens, heads) with `logsumexp_stride`, or none
  std::int64_t stride = 0, logsumexp_stride = 0;
  std::int64_t tokens = 0, heads = 0, width = 0;
  std::int64_t seen = 0;  // keys that the first token sees
  bool causal = true;     // each further token sees one more
  float scale = 1;
  KeySource from;
};

// Tokens of a block such that its queries fill the second cache level and no more.
inline std::int64_t block_tokens(std::int64_t heads) {
  return std::max<std::int64_t>(1, 256 / heads);
}
std::int64_t attend_scratch(std::int64_t heads, std::int64_t width);  // floats
void attend(const Backend& on, const AttendBlock& block, float* scratch);
void narrow_to_f16(const Backend& on, std::uint16_t* to, const float* from, std::int64_t count);

}  // namespace deskhand::cpu
