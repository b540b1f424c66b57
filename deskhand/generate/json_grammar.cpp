#include "deskhand/generate/json_grammar.h"

#include <algorithm>
#include <set>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

// Where in the free string we are: between characters, in an escape, or in a UTF-8 sequence (RFC 3629: no overlong forms, no surrogates).
// Escapes: \" \\ \/ \n \r \t and \uXXXX outside the surrogates and the control characters. \b and \f are left out: nobody means them, and a
// path such as C:\finance is then written with the backslash doubled.
enum Text : std::uint8_t {
  kFirst,
  kPlain,
  kEscape,
  kHex1,
  kHex2,
  kHex2After0,
  kHex2AfterD,
  kHex3,
  kHex3After00,
  kHex4,
  kTail1,
  kTail2,
  kTail3,
  kTailE0,
  kTailED,
  kTailF0,
  kTailF4,
  kRefused
};

Text tail_step(Text at, unsigned char byte) {
  const auto in = [&](unsigned char low, unsigned char high) { return byte >= low && byte <= high; };
  switch (at) {
    case kTail1:
      return in(0x80, 0xbf) ? kPlain : kRefused;
    case kTail2:
      return in(0x80, 0xbf) ? kTail1 : kRefused;
    case kTail3:
      return in(0x80, 0xbf) ? kTail2 : kRefused;
    case kTailE0:
      return in(0xa0, 0xbf) ? kTail1 : kRefused;
    case kTailED:
      return in(0x80, 0x9f) ? kTail1 : kRefused;
    case kTailF0:
      return in(0x90, 0xbf) ? kTail2 : kRefused;
    case kTailF4:
      return in(0x80, 0x8f) ? kTail2 : kRefused;
    default:
      break;
  }
  if (byte < 0x80) return kPlain;
  if (in(0xc2, 0xdf)) return kTail1;
  if (byte == 0xe0) return kTailE0;
  if (byte == 0xed) return kTailED;
  if (in(0xe1, 0xef)) return kTail2;
  if (byte == 0xf0) return kTailF0;
  if (in(0xf1, 0xf3)) return kTail3;
  if (byte == 0xf4) return kTailF4;
  return kRefused;
}

// Never called with the closing quote.
Text text_step(Text at, unsigned char byte) {
  const bool digit = byte >= '0' && byte <= '9';
  const unsigned char lower = byte | 0x20;
  const bool hex = digit || (lower >= 'a' && lower <= 'f');
  switch (at) {
    case kEscape:
      switch (byte) {
        case '"':
        case '\\':
        case '/':
        case 'n':
        case 'r':
        case 't':
          return kPlain;
        case 'u':
          return kHex1;
        default:
          return kRefused;
      }
    case kHex1:
      return !hex ? kRefused : byte == '0' ? kHex2After0 : lower == 'd' ? kHex2AfterD : kHex2;
    case kHex2:
      return hex ? kHex3 : kRefused;
    case kHex2After0:
      return !hex ? kRefused : byte == '0' ? kHex3After00 : kHex3;
    case kHex2AfterD:
      return byte >= '0' && byte <= '7' ? kHex3 : kRefused;
    case kHex3:
      return hex ? kHex4 : kRefused;
    case kHex3After00:
      return hex && byte != '0' && byte != '1' ? kHex4 : kRefused;
    case kHex4:
      return hex ? kPlain : kRefused;
    case kFirst:
      if (byte == ' ') return kRefused;
      [[fallthrough]];
    case kPlain:
      if (byte < 0x20) return kRefused;
      if (byte == '\\') return kEscape;
      [[fallthrough]];
    default:
      return tail_step(at == kFirst ? kPlain : at, byte);
  }
}

// The fewest bytes until the closing quote may follow.
std::int32_t bytes_to_end(std::uint8_t at) {
  switch (at) {
    case kPlain:
      return 0;
    case kHex1:
      return 4;
    case kHex2:
    case kHex2After0:
    case kHex2AfterD:
    case kTail3:
    case kTailF0:
    case kTailF4:
      return 3;
    case kHex3:
    case kHex3After00:
    case kTail2:
    case kTailE0:
    case kTailED:
      return 2;
    default:
      return 1;
  }
}

bool is_utf8(std::string_view text) {
  Text at = kPlain;
  for (const char c : text) {
    at = tail_step(at, static_cast<unsigned char>(c));
    if (at == kRefused) return false;
  }
  return at == kPlain;
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        else
          out += c;
    }
  }
  return out;
}

bool is_integer(std::string_view text) {
  if (text == "-0") return false;
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  return !text.empty() && text.size() <= 18 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         (text.size() == 1 || text[0] != '0');
}

constexpr std::size_t kLongestLabel = 1000;  // bytes; the automaton's depth is bounded with it

void check(const AnswerSchema& schema) {
  const auto refuse = [](const std::string& why) { throw Error(ExitCode::kUsage, "the answer's schema cannot be used: {}", why); };
  if (schema.fields.empty()) refuse("it has no fields");
  std::set<std::string> keys;
  for (const AnswerField& field : schema.fields) {
    if (field.key.empty() || field.key.size() > kLongestLabel || !is_utf8(field.key))
      refuse("a key is empty, longer than 1000 bytes, or not UTF-8");
    if (!keys.insert(field.key).second) refuse(fmt::format("the key \"{}\" stands in it twice", field.key));
    if (!field.is_choice()) {
      if (field.max_bytes < 1) refuse(fmt::format("\"{}\" may hold {} bytes, at least 1 is wanted", field.key, field.max_bytes));
      continue;
    }
    if (field.labels.empty()) refuse(fmt::format("\"{}\" has no labels to choose from", field.key));
    std::set<std::string> seen;
    for (const std::string& label : field.labels) {
      if (label.empty() || label.size() > kLongestLabel || !is_utf8(label))
        refuse(fmt::format("a label of \"{}\" is empty, longer than 1000 bytes, or not UTF-8", field.key));
      if (field.kind == AnswerField::Kind::kInteger && !is_integer(label))
        refuse(fmt::format("the label \"{}\" of \"{}\" is not an integer", label, field.key));
      if (!seen.insert(label).second) refuse(fmt::format("the label \"{}\" of \"{}\" stands in it twice", label, field.key));
    }
  }
}

}  // namespace

std::string AnswerSchema::text() const {
  std::string out;
  for (const AnswerField& field : fields) {
    out += fmt::format("{}:{}:{}[", static_cast<int>(field.kind), escape(field.key), field.is_choice() ? 0 : field.max_bytes);
    for (const std::string& label : field.labels) out += '"' + escape(label) + '"';
    out += ']';
  }
  return out;
}

JsonGrammar::JsonGrammar(AnswerSchema schema, std::shared_ptr<const TokenTrie> tokens)
    : schema_(std::move(schema)), tokens_(std::move(tokens)) {
  check(schema_);
  const auto count = static_cast<std::int32_t>(schema_.fields.size());
  std::int32_t at = add_node(Kind::kLiteral, 0);
  for (std::int32_t f = 0; f < count; ++f) {
    const AnswerField& field = schema_.fields[static_cast<std::size_t>(f)];
    const bool quoted = field.kind != AnswerField::Kind::kInteger;
    lead_.push_back(fmt::format("{}\"{}\": {}", f == 0 ? "{" : ", ", escape(field.key), quoted ? "\"" : ""));
    // An integer ends with the byte behind it, which the literal before has then already written.
    const bool after_integer = f > 0 && schema_.fields[static_cast<std::size_t>(f - 1)].kind == AnswerField::Kind::kInteger;
    at = add_literal(at, std::string_view(lead_.back()).substr(after_integer ? 1 : 0), f);

    values_.emplace_back();
    if (!field.is_choice()) {
      shortest_text_ = std::min(shortest_text_, field.max_bytes);
      nodes_[static_cast<std::size_t>(at)].kind = Kind::kText;
      const std::int32_t after = add_node(Kind::kLiteral, f + 1);
      nodes_[static_cast<std::size_t>(at)].after = after;
      at = after;
      continue;
    }
    nodes_[static_cast<std::size_t>(at)].kind = Kind::kChoice;
    const std::int32_t root = at, after = add_node(Kind::kLiteral, f + 1);
    for (std::size_t label = 0; label < field.labels.size(); ++label) {
      values_.back().push_back(quoted ? escape(field.labels[label]) + '"' : field.labels[label]);
      const std::string path = quoted ? values_.back().back() : field.labels[label] + (f + 1 < count ? ',' : '}');
      at = root;
      for (std::size_t i = 0; i < path.size(); ++i) {
        const auto byte = static_cast<unsigned char>(path[i]);
        if (i + 1 == path.size()) {
          nodes_[static_cast<std::size_t>(at)].edges.push_back({byte, after, static_cast<std::int32_t>(label)});
          break;
        }
        const auto& edges = nodes_[static_cast<std::size_t>(at)].edges;
        const auto found = std::find_if(edges.begin(), edges.end(), [&](const Edge& edge) { return edge.byte == byte; });
        if (found != edges.end()) {
          at = found->target;
        } else {
          const std::int32_t next = add_node(Kind::kChoice, f);
          nodes_[static_cast<std::size_t>(at)].edges.push_back({byte, next, -1});
          at = next;
        }
      }
    }
    at = after;
  }
  if (schema_.fields.back().kind != AnswerField::Kind::kInteger) at = add_literal(at, "}", count);
  nodes_[static_cast<std::size_t>(at)].kind = Kind::kDone;

  for (Node& node : nodes_) {
    std::sort(node.edges.begin(), node.edges.end(), [](const Edge& a, const Edge& b) { return a.byte < b.byte; });
    for (const Edge& edge : node.edges)
      if (!tokens_->has_byte(edge.byte))
        throw Error(ExitCode::kBadInput,
                    "the model's vocabulary has no token for byte 0x{:02x}, which the answer needs; a byte-level vocabulary is wanted",
                    edge.byte);
  }
  {
    const std::lock_guard lock(mutex_);
    close_from(start());
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      if (nodes_[n].kind == Kind::kText)
        for (std::uint8_t text = kFirst; text < kRefused; ++text) close_from({static_cast<std::int32_t>(n), 0, -1, text});
    if (to_close_.at(key(start())) >= kUnlimited)
      throw Error(ExitCode::kBadInput, "the model's vocabulary cannot write the answer's closing quote; a byte-level vocabulary is wanted");
    for (const auto& [state, close] : to_close_)
      if (close < kUnlimited) most_to_close_ = std::max(most_to_close_, close);
  }
  hold_back_borders();
}

std::int32_t JsonGrammar::add_node(Kind kind, std::int32_t field) {
  nodes_.push_back({kind, field, -1, {}});
  return static_cast<std::int32_t>(nodes_.size()) - 1;
}

std::int32_t JsonGrammar::add_literal(std::int32_t from, std::string_view text, std::int32_t field) {
  for (const char c : text) {
    const std::int32_t next = add_node(Kind::kLiteral, field);
    nodes_[static_cast<std::size_t>(from)].edges.push_back({static_cast<unsigned char>(c), next, -1});
    from = next;
  }
  return from;
}

// Where the labels' canonical spellings part before the lead's end, as `"(` of "(none)" does, the lead's last bytes are left to the labels.
void JsonGrammar::hold_back_borders() {
  held_back_.assign(lead_.size(), 0);
  std::vector<std::int32_t> labels;
  for (std::size_t f = 0; f < lead_.size() && schema_.fields[f].is_choice(); ++f) {
    const std::string before = text_before(static_cast<std::int32_t>(f), labels);
    const std::string behind = schema_.fields[f].kind != AnswerField::Kind::kInteger ? "" : f + 1 < lead_.size() ? "," : "}";
    std::vector<std::int32_t> common;
    for (std::size_t label = 0; label < values_[f].size(); ++label) {
      const auto spelled = tokens_->spell(before + values_[f][label] + behind);
      if (label == 0) common = spelled;
      const auto parted = std::mismatch(common.begin(), common.end(), spelled.begin(), spelled.end()).first;
      common.erase(parted, common.end());
    }
    std::size_t covered = 0;
    for (const std::int32_t token : common) {
      if (covered + tokens_->bytes(token).size() > before.size()) break;
      covered += tokens_->bytes(token).size();
    }
    held_back_[f] = std::min(before.size() - covered, lead_[f].size() - 1);
    labels.push_back(0);
  }
}

bool JsonGrammar::step(State& at, unsigned char byte) const {
  const Node& node = nodes_[index(at)];
  if (node.kind == Kind::kText) {
    if (byte == '"' && at.text == kPlain) {
      at.node = node.after;
      at.text = kFirst;
      return true;
    }
    if (byte == '"' && at.text != kEscape) return false;
    const Text next = text_step(static_cast<Text>(at.text), byte);
    if (next == kRefused) return false;
    at.text = next;
    ++at.text_bytes;
    return true;
  }
  const auto edge = std::lower_bound(node.edges.begin(), node.edges.end(), byte, [](const Edge& e, unsigned char b) { return e.byte < b; });
  if (edge == node.edges.end() || edge->byte != byte) return false;
  at.node = edge->target;
  if (edge->label >= 0) at.last_label = edge->label;
  if (nodes_[index(at)].kind == Kind::kText) {
    at.text = kFirst;
    at.text_bytes = 0;
  }
  return true;
}

bool JsonGrammar::advance(State& at, std::string_view bytes) const {
  State next = at;
  for (const char c : bytes)
    if (!step(next, static_cast<unsigned char>(c))) return false;
  at = next;
  return true;
}

bool JsonGrammar::advance(State& at, std::int32_t token) const {
  if (token < 0 || token >= tokens_->size() || tokens_->bytes(token).empty()) return false;
  return advance(at, tokens_->bytes(token));
}

bool JsonGrammar::fits(const State& at) const {
  const Node& node = nodes_[index(at)];
  if (node.kind == Kind::kText)
    return at.text_bytes + bytes_to_end(at.text) <= schema_.fields[static_cast<std::size_t>(node.field)].max_bytes;
  // A free string that this token ended is the one of the field before.
  const std::int32_t before = node.field - 1;
  return before < 0 || schema_.fields[static_cast<std::size_t>(before)].is_choice() ||
         at.text_bytes <= schema_.fields[static_cast<std::size_t>(before)].max_bytes;
}

// The fewest tokens to the end, over tokens that add no more to the free string than its last character needs: such a way out stays open
// whatever max_bytes says. It never comes back to a state it left, so the recursion ends.
std::int32_t JsonGrammar::close_from(const State& at) const {
  if (is_complete(at)) return 0;
  if (const auto known = to_close_.find(key(at)); known != to_close_.end()) return known->second;
  State from = at;
  from.text_bytes = 0;
  const std::int32_t most_text = is_text(at) ? bytes_to_end(at.text) : 1;
  std::vector<std::pair<std::uint64_t, State>> ends;
  tokens_->walk(
      from, [&](State& state, unsigned char byte) { return step(state, byte) && (!is_text(state) || state.text_bytes <= most_text); },
      [&](std::int32_t, const State& state) {
        if (ends.empty() || ends.back().first != key(state)) ends.emplace_back(key(state), state);
      });
  std::int32_t best = kUnlimited;
  for (const auto& [_, end] : ends) best = std::min(best, 1 + close_from(end));
  best = std::min(best, kUnlimited);
  to_close_.emplace(key(at), best);
  return best;
}

std::int32_t JsonGrammar::tokens_to_close(const State& at) const {
  const std::lock_guard lock(mutex_);
  return close_from(at);
}

std::shared_ptr<const TokenMask> JsonGrammar::plain_mask(const State& at) const {
  const std::lock_guard lock(mutex_);
  auto& mask = masks_[key(at)];
  if (!mask) {
    std::vector<std::int32_t> tokens;
    std::int32_t closable[kRefused] = {};  // of the same free string, where nearly all tokens lead: 0 not asked yet
    tokens_->walk(
        at, [&](State& state, unsigned char byte) { return step(state, byte); },
        [&](std::int32_t token, const State& state) {
          std::int32_t elsewhere = 0;
          std::int32_t& close = state.node == at.node ? closable[state.text] : elsewhere;
          if (close == 0) close = 1 + close_from(state);
          if (close <= kUnlimited) tokens.push_back(token);
        });
    mask = std::make_shared<const TokenMask>(TokenMask::of(std::move(tokens), tokens_->size()));
  }
  return mask;
}

std::shared_ptr<const TokenMask> JsonGrammar::allowed(const State& at, std::int32_t tokens_left) const {
  auto plain = plain_mask(at);
  const std::int32_t longest = static_cast<std::int32_t>(std::min<std::size_t>(tokens_->longest(), 1 << 16)) + 4;
  const std::int32_t room = is_text(at) ? schema_.fields[static_cast<std::size_t>(field(at))].max_bytes - at.text_bytes : shortest_text_;
  if (tokens_left > most_to_close_ && room >= longest) return plain;
  const std::lock_guard lock(mutex_);
  // Where no token is too long for the text, the state and the tokens left say all: every answer that runs into its budget asks again.
  std::shared_ptr<const TokenMask> not_kept;
  std::shared_ptr<const TokenMask>& mask =
      room >= longest ? late_masks_[key(at) << 16 | static_cast<std::uint64_t>(std::clamp(tokens_left, 0, 0xffff))] : not_kept;
  if (mask) return mask;
  std::vector<std::int32_t> tokens;
  plain->for_each([&](std::int32_t token) {
    State after = at;
    if (advance(after, token) && fits(after) && 1 + close_from(after) <= tokens_left) tokens.push_back(token);
  });
  return mask = std::make_shared<const TokenMask>(TokenMask::of(std::move(tokens), tokens_->size()));
}

std::string JsonGrammar::rest_of_only_label(const State& at) const {
  std::string rest;
  for (std::int32_t node = at.node;;) {
    const Node& here = nodes_[static_cast<std::size_t>(node)];
    if (here.kind != Kind::kChoice || here.edges.size() != 1) return {};
    rest += static_cast<char>(here.edges[0].byte);
    if (here.edges[0].label >= 0) return rest;
    node = here.edges[0].target;
  }
}

std::string JsonGrammar::forced_bytes(const State& at) const {
  std::string out;
  State here = at;
  for (;;) {
    const Node& node = nodes_[index(here)];
    std::string next;
    if (node.kind == Kind::kLiteral) next = static_cast<char>(node.edges[0].byte);
    if (node.kind == Kind::kChoice) next = rest_of_only_label(here);
    if (next.empty()) return out;
    advance(here, next);
    out += next;
  }
}

std::vector<std::int32_t> JsonGrammar::forced(const State& at) const {
  std::string bytes = forced_bytes(at);
  State end = at;
  advance(end, bytes);
  if (is_choice(end)) {
    const std::size_t held = held_back_[static_cast<std::size_t>(field(end))];
    bytes.resize(bytes.size() > held ? bytes.size() - held : 0);
  }
  return bytes.empty() ? std::vector<std::int32_t>{} : tokens_->spell(bytes);
}

std::vector<std::int32_t> JsonGrammar::closing(const State& at) const {
  if (!is_text(at) || at.text != kPlain) return {};
  State after = at;
  advance(after, "\"");
  std::string bytes = '"' + forced_bytes(after);
  advance(after, std::string_view(bytes).substr(1));
  if (is_choice(after)) {
    const std::size_t held = held_back_[static_cast<std::size_t>(field(after))];
    bytes.resize(std::max<std::size_t>(1, bytes.size() > held ? bytes.size() - held : 0));
  }
  return tokens_->spell(bytes);
}

const std::string& JsonGrammar::value_bytes(std::int32_t field, std::int32_t label) const {
  const auto& values = values_.at(static_cast<std::size_t>(field));
  DESKHAND_ASSERT(label >= 0 && static_cast<std::size_t>(label) < values.size(), "a label of the field");
  return values[static_cast<std::size_t>(label)];
}

std::string JsonGrammar::text_before(std::int32_t field, std::span<const std::int32_t> labels) const {
  std::string out;
  for (std::int32_t f = 0; f < field; ++f) {
    DESKHAND_ASSERT(static_cast<std::size_t>(f) < labels.size() && schema_.fields[static_cast<std::size_t>(f)].is_choice(),
                    "a label for each choice before the field, and no free string");
    out += lead_[static_cast<std::size_t>(f)] + value_bytes(f, labels[static_cast<std::size_t>(f)]);
  }
  return out + lead_.at(static_cast<std::size_t>(field));
}

std::string JsonGrammar::stem_before(std::int32_t field, std::span<const std::int32_t> labels) const {
  std::string out = text_before(field, labels);
  out.resize(out.size() - held_back_[static_cast<std::size_t>(field)]);
  return out;
}

}  // namespace deskhand
