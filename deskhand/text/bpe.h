// Byte-level BPE, the tokenizer of GPT-2, Llama 3, Qwen2, SmolLM and Mistral's tekken: text is cut into words, a word is its UTF-8 bytes,
// neighbours are merged by rank. Radford et al. 2019 (the byte alphabet), Sennrich et al. 2016 (the merges).
// Left out: dropout, suffixes of words and unknown-token fusing, which no byte-level model uses.
#pragma once
#include <array>
#include <optional>
#include <unordered_map>

#include "deskhand/text/bpe_merges.h"
#include "deskhand/text/normalize.h"
#include "deskhand/text/pre_tokenizer.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

// GPT-2's printable stand-ins for bytes ("Ġ" for a space) back to bytes; no value if a character is none of them.
std::optional<std::string> bytes_of_printable(std::string_view token);
std::string printable_of_bytes(std::string_view bytes);

class ByteLevelBpe final : public Tokenizer {
 public:
  struct Settings {
    Vocabulary vocabulary;
    std::vector<BpeMerges::Merge> merges;
    std::vector<PreTokenizer::Step> pre_tokenizer;
    std::vector<NormalForm> normal_forms;  // applied in this order
    bool ignore_merges = false;            // a word that is a token stays whole, whatever the merges say (Llama 3)
  };
  // `where` names the file in errors.
  ByteLevelBpe(const Settings& settings, std::string_view where);

 private:
  void encode_text(std::string_view text, bool at_start, std::vector<int32_t>& ids) const override;

  BpeMerges merges_;
  PreTokenizer pre_tokenizer_;
  std::vector<NormalForm> normal_forms_;
  std::array<int32_t, 256> byte_ids_;                          // -1: the vocabulary lacks this byte; it becomes unk, or is lost
  std::unordered_map<std::string_view, int32_t> whole_words_;  // only with ignore_merges; views of token_bytes
  mutable WordCachePool caches_;
};

}  // namespace deskhand
