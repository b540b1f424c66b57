// A vocabulary by its bytes: every token of the model, as the text it writes, in one tree. Masks, canonical spellings and label
// probabilities all walk it. Control tokens (end of text, roles) write nothing and are not in the tree, so that no constrained text can
// contain one.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deskhand {

class TokenTrie {
 public:
  // text -> its canonical tokens; usually Tokenizer::encode without special tokens.
  using Encode = std::function<std::vector<std::int32_t>(std::string_view)>;

  // bytes[id] is what token id writes; empty for control tokens. Without `encode` texts are spelled by the longest token that fits.
  explicit TokenTrie(std::vector<std::string> bytes, Encode encode = nullptr);

  std::int32_t size() const noexcept { return static_cast<std::int32_t>(bytes_.size()); }  // V
  std::string_view bytes(std::int32_t token) const { return bytes_[static_cast<std::size_t>(token)]; }
  std::string text(std::span<const std::int32_t> tokens) const;
  std::size_t longest() const noexcept { return longest_; }  // bytes of the longest token
  bool has_byte(unsigned char byte) const noexcept { return single_byte_[byte] >= 0; }

  // The tokens that write exactly `text`: the tokenizer's own where they do, else the longest token that fits, again and again.
  // Throws Error(kBadInput) if a byte of the text has no token at all.
  std::vector<std::int32_t> spell(std::string_view text) const;

  // Visits every token that a byte automaton accepts from `start`. step(state, byte) -> bool changes the state or refuses; visit(token,
  // state).
  template <class State, class Step, class Visit>
  void walk(const State& start, Step&& step, Visit&& visit) const {
    std::vector<State> path(longest_ + 1, start);  // path[d]: the state after d bytes
    for (std::size_t i = 0; i < nodes_.size();) {
      const Node& node = nodes_[i];
      State& here = path[node.depth];
      here = path[node.depth - 1u];
      if (!step(here, node.byte)) {
        i = node.end;
        continue;
      }
      for (std::uint32_t t = node.first_token; t < node.last_token; ++t) visit(tokens_[t], here);
      ++i;
    }
  }

 private:
  struct Node {                             // in preorder
    std::uint32_t end;                      // the first node that is not below this one
    std::uint32_t first_token, last_token;  // tokens that end here: a range of tokens_
    std::uint16_t depth;                    // bytes from the root, at least 1
    unsigned char byte;
  };

  std::vector<std::string> bytes_;
  Encode encode_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> tokens_;  // sorted by bytes
  std::int32_t single_byte_[256];
  std::size_t longest_ = 0;
};

}  // namespace deskhand
