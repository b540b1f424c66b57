#include "deskhand/generate/token_trie.h"

#include <algorithm>
#include <numeric>

#include "deskhand/base/error.h"

namespace deskhand {

TokenTrie::TokenTrie(std::vector<std::string> bytes, Encode encode) : bytes_(std::move(bytes)), encode_(std::move(encode)) {
  std::fill(std::begin(single_byte_), std::end(single_byte_), -1);
  for (std::size_t id = 0; id < bytes_.size(); ++id) {
    if (bytes_[id].empty()) continue;
    if (bytes_[id].size() > 0xffff)
      throw Error(ExitCode::kBadInput, "token {} of the vocabulary is {} bytes long, at most 65535 are read", id, bytes_[id].size());
    tokens_.push_back(static_cast<std::int32_t>(id));
    longest_ = std::max(longest_, bytes_[id].size());
    if (bytes_[id].size() == 1 && single_byte_[static_cast<unsigned char>(bytes_[id][0])] < 0)
      single_byte_[static_cast<unsigned char>(bytes_[id][0])] = static_cast<std::int32_t>(id);
  }
  std::sort(tokens_.begin(), tokens_.end(), [&](std::int32_t a, std::int32_t b) {
    const int order = this->bytes(a).compare(this->bytes(b));
    return order != 0 ? order < 0 : a < b;
  });

  std::vector<std::uint32_t> open;  // nodes from the root to the last token's end
  const auto close_to = [&](std::size_t depth) {
    while (open.size() > depth) {
      nodes_[open.back()].end = static_cast<std::uint32_t>(nodes_.size());
      open.pop_back();
    }
  };
  std::string_view before;
  for (std::uint32_t t = 0; t < tokens_.size(); ++t) {
    const std::string_view text = this->bytes(tokens_[t]);
    const auto shared =
        static_cast<std::size_t>(std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first - text.begin());
    close_to(shared);
    for (std::size_t depth = shared; depth < text.size(); ++depth) {
      open.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, t, t, static_cast<std::uint16_t>(depth + 1), static_cast<unsigned char>(text[depth])});
    }
    nodes_[open.back()].last_token = t + 1;  // sorted, so tokens of the same bytes follow each other
    before = text;
  }
  close_to(0);
}

std::string TokenTrie::text(std::span<const std::int32_t> tokens) const {
  std::string out;
  for (const std::int32_t token : tokens) out += bytes(token);
  return out;
}

std::vector<std::int32_t> TokenTrie::spell(std::string_view text) const {
  if (encode_) {
    auto tokens = encode_(text);
    const bool known = std::all_of(tokens.begin(), tokens.end(), [&](std::int32_t token) { return token >= 0 && token < size(); });
    if (known && this->text(tokens) == text) return tokens;  // a tokenizer that adds or normalises does not write what was asked for
  }
  std::vector<std::int32_t> tokens;
  while (!text.empty()) {
    std::int32_t best = -1;
    walk(
        std::size_t{0},
        [&](std::size_t& at, unsigned char byte) { return at < text.size() && static_cast<unsigned char>(text[at++]) == byte; },
        [&](std::int32_t token, std::size_t) {
          if (best < 0 || bytes(token).size() > bytes(best).size()) best = token;
        });
    if (best < 0)
      throw Error(ExitCode::kBadInput, "the model's vocabulary has no token for byte 0x{:02x}; a byte-level vocabulary is wanted",
                  static_cast<unsigned char>(text[0]));
    tokens.push_back(best);
    text.remove_prefix(bytes(best).size());
  }
  return tokens;
}

}  // namespace deskhand
