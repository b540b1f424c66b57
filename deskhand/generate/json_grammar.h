// The token automaton: it lets a model write one JSON object of a given schema and nothing else, in the seed's spacing:
//   {"Urgency Code": 3, "Category": "Sales Orders", "Resolution": "..."}
// The schema is compiled to bytes, then lifted to tokens: a token is allowed if its bytes lead somewhere from here, whatever borders it
// crosses. From every state the fewest tokens that close the object are known, so an answer can always be ended in its budget.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "deskhand/generate/token_mask.h"
#include "deskhand/generate/token_trie.h"

namespace deskhand {

struct AnswerField {
  enum class Kind : std::uint8_t {
    kInteger,  // one of `labels`, written without quotes
    kLabel,    // one of `labels`, a JSON string
    kText      // a free JSON string: at least one character, no leading space
  };
  std::string key;
  Kind kind = Kind::kLabel;
  std::vector<std::string> labels;  // UTF-8; kInteger: "1", "-20"
  std::int32_t max_bytes = 4000;    // kText: of JSON between the quotes, at least 1
  bool is_choice() const noexcept { return kind != Kind::kText; }
};

struct AnswerSchema {
  std::vector<AnswerField> fields;  // in the order of writing
  std::string text() const;         // one line, the same for the same schema: a key to keep compiled grammars under
};

class JsonGrammar {
 public:
  // Keeps the trie alive. Throws Error(kUsage) on a schema that cannot be answered: no fields, an empty key or label, two of the same, not
  // UTF-8; Error(kBadInput) if the vocabulary lacks a byte that the answer needs.
  JsonGrammar(AnswerSchema schema, std::shared_ptr<const TokenTrie> tokens);

  struct State {
    std::int32_t node = 0;
    std::int32_t text_bytes = 0;   // of the free string that is being written
    std::int32_t last_label = -1;  // the choice that was completed last
    std::uint8_t text = 0;         // where in a character or escape of the free string
    bool operator==(const State&) const = default;
  };

  State start() const { return {}; }
  bool is_complete(const State& at) const { return nodes_[index(at)].kind == Kind::kDone; }
  bool is_text(const State& at) const { return nodes_[index(at)].kind == Kind::kText; }
  bool is_choice(const State& at) const { return nodes_[index(at)].kind == Kind::kChoice; }
  // The field whose value is being written or comes next; fields().size() once the last value is done.
  std::int32_t field(const State& at) const { return nodes_[index(at)].field; }
  const AnswerSchema& schema() const noexcept { return schema_; }
  const TokenTrie& tokens() const noexcept { return *tokens_; }

  // Every token that may come next. `tokens_left` (this one counted) and the text's max_bytes take out what could no longer be closed in
  // time.
  std::shared_ptr<const TokenMask> allowed(const State& at, std::int32_t tokens_left) const;
  std::shared_ptr<const TokenMask> allowed(const State& at) const { return allowed(at, kUnlimited); }
  // The fewest tokens that complete the object from here; 0 once it is complete.
  std::int32_t tokens_to_close(const State& at) const;

  bool advance(State& at, std::int32_t token) const;  // false, and `at` unchanged: not allowed
  bool advance(State& at, std::string_view bytes) const;

  // The bytes that must come next, up to where there is a choice. A choice of one label is none.
  std::string forced_bytes(const State& at) const;
  // Inside a choice where one label alone is left: its last bytes, the closing quote or what stands behind an integer counted. Else empty.
  std::string rest_of_only_label(const State& at) const;
  // The same as tokens, spelled as the tokenizer would. Before a choice it ends where the labels' canonical spellings part.
  std::vector<std::int32_t> forced(const State& at) const;
  // In a free string between two characters: the tokens that end it and go on to the next choice or the end. Elsewhere: none.
  std::vector<std::int32_t> closing(const State& at) const;

  // The object up to the value of `field` (an opening quote counted), with one label (index) for each choice before it; no free string may
  // stand before it. `stem_before` leaves out the last bytes that some label's canonical spelling takes into its own first token.
  std::string text_before(std::int32_t field, std::span<const std::int32_t> labels) const;
  std::string stem_before(std::int32_t field, std::span<const std::int32_t> labels) const;
  // What follows text_before: 3, or Sales Orders" with its closing quote, escaped.
  const std::string& value_bytes(std::int32_t field, std::int32_t label) const;

  static constexpr std::int32_t kUnlimited = 1 << 30;

 private:
  enum class Kind : std::uint8_t { kLiteral, kChoice, kText, kDone };
  struct Edge {
    unsigned char byte;
    std::int32_t target;
    std::int32_t label;  // >= 0: this byte completes that label
  };
  struct Node {
    Kind kind = Kind::kLiteral;
    std::int32_t field = 0;
    std::int32_t after = -1;  // kText: the node behind the closing quote
    std::vector<Edge> edges;  // sorted by byte once compiled
  };

  static std::size_t index(const State& at) { return static_cast<std::size_t>(at.node); }
  std::int32_t add_node(Kind kind, std::int32_t field);
  std::int32_t add_literal(std::int32_t from, std::string_view text, std::int32_t field);
  bool step(State& at, unsigned char byte) const;
  static std::uint64_t key(const State& at) { return static_cast<std::uint64_t>(at.node) << 8 | at.text; }
  std::int32_t close_from(const State& at) const;  // holding mutex_
  std::shared_ptr<const TokenMask> plain_mask(const State& at) const;
  bool fits(const State& at) const;  // the free string's length, its last character completed
  void hold_back_borders();

  AnswerSchema schema_;
  std::shared_ptr<const TokenTrie> tokens_;
  std::vector<Node> nodes_;
  std::vector<std::string> lead_;                 // what stands before each field's value: {"Urgency Code": and so on
  std::vector<std::vector<std::string>> values_;  // of each choice: value_bytes
  std::vector<std::size_t> held_back_;            // bytes of lead_ that some label's first token may take
  std::int32_t shortest_text_ = kUnlimited;       // the smallest max_bytes
  std::int32_t most_to_close_ = 0;                // of all states
  mutable std::mutex mutex_;                      // guards the caches: one grammar serves every sequence
  mutable std::unordered_map<std::uint64_t, std::shared_ptr<const TokenMask>> masks_, late_masks_;  // late: by tokens left too
  mutable std::unordered_map<std::uint64_t, std::int32_t> to_close_;
};

}  // namespace deskhand
