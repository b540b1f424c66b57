// SentencePiece's BPE as Llama 2 and Mistral use it: spaces are "▁", words are characters, what the vocabulary lacks falls back to bytes.
// Kudo and Richardson 2018. Merges come as a list (tokenizer.json) or follow from the tokens' scores (GGUF).
#pragma once
#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "deskhand/text/bpe_merges.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

class SpmBpe final : public Tokenizer {
 public:
  enum class Prefix { kNever, kAtStart, kEveryText };  // where "▁" is put before: every text stands at the start or behind a special

  struct Settings {
    Vocabulary vocabulary;            // bytes: with plain spaces, byte tokens as their byte
    std::vector<std::string> pieces;  // as the file spells them: "▁the", "<0x0A>"
    std::vector<BpeMerges::Merge> merges;
    Prefix prefix = Prefix::kEveryText;
    bool prefix_only_if_none = false;  // no second "▁" before a text that begins with a space
  };
  SpmBpe(const Settings& settings, std::string_view where);

  Prefix prefix() const { return prefix_; }

  // Every way to make a token of two others, in the order of its score: what SentencePiece's own search amounts to.
  static std::vector<BpeMerges::Merge> merges_from_scores(const std::vector<std::string>& pieces, const std::vector<float>& scores,
                                                          const std::vector<bool>& usable);

 private:
  void encode_text(std::string_view text, bool at_start, std::vector<int32_t>& ids) const override;
  void finish_decoding(std::string& text) const override;
  void append_characters(std::string_view word, std::vector<int32_t>& symbols) const;

  BpeMerges merges_;
  Prefix prefix_;
  bool prefix_only_if_none_;
  bool cut_at_spaces_ = true;  // no token has a "▁" behind another character, so no merge crosses one and words can be cached
  std::unordered_map<std::string, int32_t> character_ids_;
  std::array<int32_t, 256> byte_ids_;
  mutable WordCachePool caches_;
};

}  // namespace deskhand
