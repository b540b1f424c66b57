// Which tokens may come next: a short list where the text is nearly fixed, a bit a token where it is nearly free.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace deskhand {

class TokenMask {
 public:
  TokenMask() = default;  // nothing is allowed
  static TokenMask list(std::vector<std::int32_t> tokens) {
    TokenMask mask;
    mask.few_ = std::move(tokens);
    return mask;
  }
  // Short lists stay lists; long ones become bits of `vocabulary`.
  static TokenMask of(std::vector<std::int32_t> tokens, std::int32_t vocabulary) {
    if (tokens.size() < 512) return list(std::move(tokens));
    TokenMask mask;
    mask.bits_.resize((static_cast<std::size_t>(vocabulary) + 63) / 64);
    for (const std::int32_t token : tokens) mask.bits_[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (token % 64);
    return mask;
  }

  bool allows(std::int32_t token) const noexcept {
    if (!bits_.empty()) return (bits_[static_cast<std::size_t>(token) / 64] >> (token % 64)) & 1;
    for (const std::int32_t one : few_)
      if (one == token) return true;
    return false;
  }
  // Sets the bits of those that may come, a bit a token.
  void mark(std::span<std::uint64_t> bits) const {
    if (!bits_.empty()) return static_cast<void>(std::copy_n(bits_.begin(), std::min(bits.size(), bits_.size()), bits.begin()));
    for_each([&](std::int32_t token) {
      if (static_cast<std::size_t>(token) / 64 < bits.size())
        bits[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (token % 64);
    });
  }
  bool empty() const noexcept { return bits_.empty() && few_.empty(); }

  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const std::int32_t token : few_) visit(token);
    for (std::size_t word = 0; word < bits_.size(); ++word)
      for (std::uint64_t left = bits_[word]; left != 0; left &= left - 1)
        visit(static_cast<std::int32_t>(word * 64) + __builtin_ctzll(left));
  }

 private:
  std::vector<std::int32_t> few_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace deskhand
