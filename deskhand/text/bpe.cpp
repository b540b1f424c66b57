#include "deskhand/text/bpe.h"

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"

namespace deskhand {
namespace {

// Bytes that print stand for themselves, the others for U+0100 and up, in their order.
std::array<char32_t, 256> printable_bytes() {
  std::array<char32_t, 256> table;
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    table[static_cast<std::size_t>(byte)] = prints ? static_cast<char32_t>(byte) : next++;
  }
  return table;
}

}  // namespace

std::optional<std::string> bytes_of_printable(std::string_view token) {
  static const auto table = [] {
    std::array<int16_t, 512> back;
    back.fill(-1);
    const auto forth = printable_bytes();
    for (std::size_t byte = 0; byte < 256; ++byte) back[forth[byte]] = static_cast<int16_t>(byte);
    return back;
  }();
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const char32_t character = next_character(token, at);
    if (character >= table.size() || table[character] < 0) return std::nullopt;
    bytes += static_cast<char>(table[character]);
  }
  return bytes;
}

std::string printable_of_bytes(std::string_view bytes) {
  static const auto table = printable_bytes();
  std::string text;
  for (const char byte : bytes) append_utf8(text, table[static_cast<unsigned char>(byte)]);
  return text;
}

ByteLevelBpe::ByteLevelBpe(const Settings& settings, std::string_view where)
    : Tokenizer(settings.vocabulary),
      merges_(settings.merges),
      pre_tokenizer_(settings.pre_tokenizer, where),
      normal_forms_(settings.normal_forms) {
  byte_ids_.fill(-1);
  for (int32_t id = 0; id < size(); ++id) {
    if (is_special(id)) continue;
    const std::string_view bytes = token_bytes(id);
    if (bytes.size() == 1 && byte_ids_[static_cast<unsigned char>(bytes[0])] < 0) byte_ids_[static_cast<unsigned char>(bytes[0])] = id;
    if (settings.ignore_merges && bytes.size() > 1) whole_words_.emplace(bytes, id);
  }
  for (int byte = ' '; byte < 127; ++byte) {
    if (byte_ids_[static_cast<std::size_t>(byte)] < 0 && !unk()) {
      throw Error(ExitCode::kBadInput, "{}: the vocabulary has no token for the byte {:#04x}, so it is not a byte-level one", where, byte);
    }
  }
}

void ByteLevelBpe::encode_text(std::string_view text, bool, std::vector<int32_t>& ids) const {
  std::string normalized;
  for (const NormalForm form : normal_forms_) {
    normalized = normalize(text, form);
    text = normalized;
  }
  std::vector<std::string_view> words;
  std::vector<std::unique_ptr<std::string>> spare;
  pre_tokenizer_.cut(text, words, spare);

  const auto cache = caches_.lend();
  std::vector<int32_t> symbols;
  for (const std::string_view word : words) {
    if (word.size() == 1 && byte_ids_[static_cast<unsigned char>(word[0])] >= 0) {
      ids.push_back(byte_ids_[static_cast<unsigned char>(word[0])]);
      continue;
    }
    const uint64_t hash = WordCache::hash_of(word);
    if (cache->find(word, hash, ids)) continue;
    symbols.clear();
    if (const auto whole = whole_words_.find(word); whole != whole_words_.end()) {
      symbols.push_back(whole->second);
    } else {
      for (const char byte : word) {
        const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
        if (id >= 0)
          symbols.push_back(id);
        else if (unk())
          symbols.push_back(*unk());
      }
      merges_.apply(symbols);
    }
    cache->keep(word, hash, symbols.data(), symbols.size());
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }
}

}  // namespace deskhand
