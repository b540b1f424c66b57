// BERT's WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018): normalise, cut at white space and punctuation, then take the longest
// piece of the vocabulary again and again. A word that cannot be spelled, or is longer than 100 characters, is one [UNK].
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "deskhand/text/bpe_merges.h"
#include "deskhand/text/normalize.h"
#include "deskhand/text/tokenizer.h"

namespace deskhand {

class WordPiece final : public Tokenizer {
 public:
  struct Settings {
    Vocabulary vocabulary;            // bytes: without "##"
    std::vector<std::string> pieces;  // as the file spells them: "##ing"
    BertNormalization normalization;
    std::string continuation = "##";
    int32_t max_word_characters = 100;
  };
  // Throws Error(kBadInput) without [CLS], [SEP] and [UNK].
  WordPiece(const Settings& settings, std::string_view where);

  // [CLS], at most max_pieces - 2 pieces, [SEP]: what a sentence encoder reads. max_pieces at least 2.
  std::vector<int32_t> encode_for_encoder(std::string_view text, int32_t max_pieces = 256) const;

 private:
  void encode_text(std::string_view text, bool at_start, std::vector<int32_t>& ids) const override;
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;

  BertNormalization normalization_;
  int32_t max_word_characters_;
  std::size_t longest_piece_ = 0;  // bytes
  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, int32_t> beginnings_, continuations_;  // views of pieces_
  int32_t cls_, sep_, unknown_;
  mutable WordCachePool caches_;
};

// tokenizer.json or vocab.txt (one token a line, its line is its id; then lower-cased as the uncased models are).
std::unique_ptr<WordPiece> load_wordpiece(const std::filesystem::path& path);

}  // namespace deskhand
