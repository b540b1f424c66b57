#include "deskhand/text/spm_bpe.h"

#include <algorithm>
#include <map>

#include "deskhand/base/error.h"
#include "deskhand/text/normalize.h"

namespace deskhand {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // "▁"

// The byte of "<0x0A>", or -1.
int byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int value = 0;
  for (const char c : piece.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

SpmBpe::SpmBpe(const Settings& settings, std::string_view where)
    : Tokenizer(settings.vocabulary),
      merges_(settings.merges),
      prefix_(settings.prefix),
      prefix_only_if_none_(settings.prefix_only_if_none) {
  byte_ids_.fill(-1);
  for (std::size_t id = 0; id < settings.pieces.size(); ++id) {
    const std::string& piece = settings.pieces[id];
    if (const int byte = byte_of(piece); byte >= 0) byte_ids_[static_cast<std::size_t>(byte)] = static_cast<int32_t>(id);
    if (piece.empty() || is_special(static_cast<int32_t>(id))) continue;
    std::size_t at = 0;
    next_character(piece, at);
    if (at == piece.size()) character_ids_.emplace(piece, static_cast<int32_t>(id));
    const std::size_t solid = [&] {  // behind the leading "▁"
      std::size_t i = 0;
      while (std::string_view(piece).substr(i).starts_with(kSpace)) i += kSpace.size();
      return i;
    }();
    if (piece.find(kSpace, solid) != std::string::npos) cut_at_spaces_ = false;
  }
  const bool has_bytes = std::none_of(byte_ids_.begin(), byte_ids_.end(), [](int32_t id) { return id < 0; });
  if (!has_bytes && !unk()) {
    throw Error(ExitCode::kBadInput, "{}: the vocabulary has neither the 256 byte tokens <0x00> .. <0xFF> nor an unknown token", where);
  }
  if (!has_bytes) byte_ids_.fill(-1);
}

void SpmBpe::append_characters(std::string_view word, std::vector<int32_t>& symbols) const {
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t begin = at;
    next_character(word, at);
    const std::string_view character = word.substr(begin, at - begin);
    if (const auto found = character_ids_.find(std::string(character)); found != character_ids_.end()) {
      symbols.push_back(found->second);
    } else if (byte_ids_[0] >= 0) {
      for (const char byte : character) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    } else if (symbols.empty() || symbols.back() != *unk()) {  // a run of unknown characters is one unknown
      symbols.push_back(*unk());
    }
  }
}

void SpmBpe::encode_text(std::string_view text, bool at_start, std::vector<int32_t>& ids) const {
  std::string spaced;
  spaced.reserve(text.size() + text.size() / 2);
  const bool wants_prefix = prefix_ == Prefix::kEveryText || (prefix_ == Prefix::kAtStart && at_start);
  if (wants_prefix && !(prefix_only_if_none_ && (text.starts_with(' ') || text.starts_with(kSpace)))) spaced += kSpace;
  for (const char c : text) {
    if (c == ' ')
      spaced += kSpace;
    else
      spaced += c;
  }
  const auto cache = caches_.lend();
  std::vector<int32_t> symbols;
  const auto add_word = [&](std::string_view word) {
    const uint64_t hash = WordCache::hash_of(word);
    if (cache->find(word, hash, ids)) return;
    symbols.clear();
    append_characters(word, symbols);
    merges_.apply(symbols);
    cache->keep(word, hash, symbols.data(), symbols.size());
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  };
  const std::string_view all = spaced;
  if (!cut_at_spaces_ || byte_ids_[0] < 0) return add_word(all);  // runs of unknowns may cross spaces
  std::size_t begin = 0;
  for (std::size_t at = all.find(kSpace, 1); at != std::string_view::npos; at = all.find(kSpace, at)) {
    const bool run_goes_on = at >= kSpace.size() && all.substr(at - kSpace.size(), kSpace.size()) == kSpace;
    if (!run_goes_on) {
      if (at > begin) add_word(all.substr(begin, at - begin));
      begin = at;
    }
    at += kSpace.size();
  }
  add_word(all.substr(begin));
}

void SpmBpe::finish_decoding(std::string& text) const {
  if (prefix_ != Prefix::kNever && text.starts_with(' ')) text.erase(0, 1);
}

std::vector<BpeMerges::Merge> SpmBpe::merges_from_scores(const std::vector<std::string>& pieces, const std::vector<float>& scores,
                                                         const std::vector<bool>& usable) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    if (usable[id]) ids.emplace(pieces[id], static_cast<int32_t>(id));
  }
  std::map<float, uint32_t, std::greater<>> ranks;  // equal scores share a rank: then the leftmost pair goes first
  for (const float score : scores) ranks.emplace(score, 0);
  uint32_t next = 0;
  for (auto& [score, rank] : ranks) rank = next++;
  std::vector<BpeMerges::Merge> merges;
  for (const auto& [piece, id] : ids) {
    std::size_t at = 0;
    for (next_character(piece, at); at < piece.size(); next_character(piece, at)) {
      const auto left = ids.find(piece.substr(0, at)), right = ids.find(piece.substr(at));
      if (left != ids.end() && right != ids.end())
        merges.push_back({left->second, right->second, id, ranks.at(scores[static_cast<std::size_t>(id)])});
    }
  }
  return merges;
}

}  // namespace deskhand
