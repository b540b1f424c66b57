#include "deskhand/text/tokenizer.h"

#include <algorithm>

#include "deskhand/base/error.h"
#include "deskhand/text/normalize.h"

namespace deskhand {

// Between two specials, or one special.
struct Tokenizer::Piece {
  std::string text;
  const Vocabulary::Special* special = nullptr;
};

Tokenizer::~Tokenizer() = default;

Tokenizer::Tokenizer(const Vocabulary& vocabulary)
    : is_special_(vocabulary.is_special),
      specials_(vocabulary.specials),
      bos_(vocabulary.bos),
      eos_(vocabulary.eos),
      unk_(vocabulary.unk),
      pad_(vocabulary.pad),
      add_bos_(vocabulary.add_bos),
      add_eos_(vocabulary.add_eos) {
  DESKHAND_ASSERT(vocabulary.bytes.size() == vocabulary.is_special.size(), "is_special says it of every token");
  begins_.reserve(vocabulary.bytes.size() + 1);
  begins_.push_back(0);
  for (const std::string& bytes : vocabulary.bytes) {
    blob_ += bytes;
    begins_.push_back(blob_.size());
  }
  std::erase_if(specials_, [](const auto& special) { return special.text.empty(); });
  std::stable_sort(specials_.begin(), specials_.end(), [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
  for (uint32_t i = 0; i < specials_.size(); ++i) specials_by_byte_[static_cast<unsigned char>(specials_[i].text.front())].push_back(i);
}

std::optional<int32_t> Tokenizer::special_id(std::string_view name) const {
  for (const auto& special : specials_) {
    if (special.text == name) return special.id;
  }
  return std::nullopt;
}

void Tokenizer::split_at_specials(std::string_view text, std::vector<Piece>& pieces) const {
  const auto add_text = [&](std::string_view part) {
    if (pieces.empty() || pieces.back().special != nullptr) pieces.push_back({});
    pieces.back().text += part;
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Vocabulary::Special* found = nullptr;
    for (const uint32_t i : specials_by_byte_[static_cast<unsigned char>(text[at])]) {
      if (text.substr(at).starts_with(specials_[i].text)) {
        found = &specials_[i];
        break;
      }
    }
    if (found == nullptr) {
      ++at;
      continue;
    }
    std::size_t end = at;
    if (found->strip_left) {
      end = begin;  // behind the last character that is not white space
      for (std::size_t i = begin; i < at;) {
        if (!is_white_space(next_character(text, i))) end = i;
      }
    }
    if (end > begin) add_text(text.substr(begin, end - begin));
    pieces.push_back({"", found});
    at += found->text.size();
    if (found->strip_right) {
      for (std::size_t i = at; i < text.size() && is_white_space(next_character(text, i));) at = i;
    }
    begin = at;
  }
  if (begin < text.size()) add_text(text.substr(begin));
}

std::vector<int32_t> Tokenizer::encode_pieces(std::span<const Piece> pieces) const {
  std::vector<int32_t> ids;
  bool at_start = true;
  for (const Piece& piece : pieces) {
    if (piece.special != nullptr)
      ids.push_back(piece.special->id);
    else if (!piece.text.empty())
      encode_text(piece.text, at_start, ids);
    at_start = false;
  }
  return ids;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  if (text.empty()) return ids;
  ids.reserve(text.size() / 3 + 1);
  if (is_valid_utf8(text))
    encode_text(text, true, ids);
  else
    encode_text(repair_utf8(text), true, ids);
  return ids;
}

std::vector<int32_t> Tokenizer::encode_with_specials(std::string_view text) const {
  const TextPart part{std::string(text), true};
  return encode(std::span(&part, 1));
}

std::vector<int32_t> Tokenizer::encode(std::span<const TextPart> parts) const {
  std::vector<Piece> pieces;
  for (const TextPart& part : parts) {
    const std::string repaired = is_valid_utf8(part.text) ? std::string() : repair_utf8(part.text);
    const std::string_view text = repaired.empty() ? std::string_view(part.text) : std::string_view(repaired);
    if (part.ours) {
      split_at_specials(text, pieces);
    } else if (!text.empty()) {
      if (pieces.empty() || pieces.back().special != nullptr) pieces.push_back({});
      pieces.back().text += text;
    }
  }
  return encode_pieces(pieces);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id < 0 || id >= size()) throw Error(ExitCode::kBadInput, "token id {} is outside the vocabulary of {} tokens", id, size());
    if (options.keep_specials || !is_special(id)) bytes += token_bytes(id);
  }
  finish_decoding(bytes);
  return is_valid_utf8(bytes) ? bytes : repair_utf8(bytes);
}

}  // namespace deskhand
