#include "deskhand/text/wordpiece.h"

#include <algorithm>

#include "deskhand/base/error.h"

namespace deskhand {

WordPiece::WordPiece(const Settings& settings, std::string_view where)
    : Tokenizer(settings.vocabulary),
      normalization_(settings.normalization),
      max_word_characters_(settings.max_word_characters),
      pieces_(settings.pieces) {
  for (std::size_t id = 0; id < pieces_.size(); ++id) {
    const std::string_view piece = pieces_[id];
    if (piece.empty() || is_special(static_cast<int32_t>(id))) continue;
    const bool continues = !settings.continuation.empty() && piece.starts_with(settings.continuation);
    const std::string_view bytes = continues ? piece.substr(settings.continuation.size()) : piece;
    (continues ? continuations_ : beginnings_).emplace(bytes, static_cast<int32_t>(id));
    beginnings_.emplace(piece, static_cast<int32_t>(id));  // "##" that a text spells itself
    longest_piece_ = std::max(longest_piece_, piece.size());
  }
  const auto wanted = [&](std::string_view name) {
    if (const auto id = special_id(name)) return *id;
    throw Error(ExitCode::kBadInput, "{}: the vocabulary has no {}; a BERT encoder's has [CLS], [SEP] and [UNK]", where, name);
  };
  cls_ = wanted("[CLS]");
  sep_ = wanted("[SEP]");
  unknown_ = wanted("[UNK]");
}

std::vector<int32_t> WordPiece::encode_for_encoder(std::string_view text, int32_t max_pieces) const {
  DESKHAND_ASSERT(max_pieces >= 2, "room for [CLS] and [SEP]");
  std::vector<int32_t> ids = encode(text);
  if (ids.size() > static_cast<std::size_t>(max_pieces) - 2) ids.resize(static_cast<std::size_t>(max_pieces) - 2);
  ids.insert(ids.begin(), cls_);
  ids.push_back(sep_);
  return ids;
}

void WordPiece::encode_text(std::string_view text, bool, std::vector<int32_t>& ids) const {
  const std::string normal = bert_normalize(text, normalization_);
  const auto cache = caches_.lend();
  const auto add_word = [&](std::string_view word) {
    if (word.empty()) return;
    const uint64_t hash = WordCache::hash_of(word);
    if (cache->find(word, hash, ids)) return;
    const std::size_t before = ids.size();
    encode_word(word, ids);
    cache->keep(word, hash, ids.data() + before, ids.size() - before);
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < normal.size();) {
    const std::size_t here = at;
    const char32_t character = next_character(normal, at);
    const bool space = is_white_space(character);
    if (!space && !is_bert_punctuation(character)) continue;
    add_word(std::string_view(normal).substr(begin, here - begin));
    if (!space) add_word(std::string_view(normal).substr(here, at - here));
    begin = at;
  }
  add_word(std::string_view(normal).substr(begin));
}

void WordPiece::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  const auto characters = std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  if (characters > max_word_characters_) {
    ids.push_back(unknown_);
    return;
  }
  const std::size_t before = ids.size();
  for (std::size_t begin = 0; begin < word.size();) {
    const auto& pieces = begin == 0 ? beginnings_ : continuations_;
    std::size_t length = std::min(word.size() - begin, longest_piece_);
    auto found = pieces.end();
    for (; length > 0; --length) {
      found = pieces.find(word.substr(begin, length));
      if (found != pieces.end()) break;
    }
    if (length == 0) {  // no piece spells this place: the whole word is unknown
      ids.resize(before);
      ids.push_back(unknown_);
      return;
    }
    ids.push_back(found->second);
    begin += length;
  }
}

}  // namespace deskhand
