// How close an answer's text is to the true one: ROUGE-L as rouge_score 0.1.2 has it (no stemmer), BLEU and chrF as sacrebleu 2.6 has them
// with its defaults and one reference. Unicode code points throughout; a wrong part of the UTF-8 counts as U+FFFD. Nothing is ever NaN.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace deskhand {

// What counts as a word. Both lower the case and agree on ASCII texts.
enum class RougeWords {
  kUnicode,  // runs of letters, marks and digits of any script; each ideograph and each kana is a word, since no spaces part them
  kAscii     // rouge_score's own: runs of [a-z0-9], everything else parts words, so "Größe" is "gr" and "e" and Japanese has no words
};

struct RougeL {
  double precision = 0, recall = 0, f1 = 0;  // 0..1: share of the answer's, of the reference's words in the longest common subsequence
};
// All 0 where a text has no word, two empty texts among them.
RougeL rouge_l(std::string_view answer, std::string_view reference, RougeWords words = RougeWords::kUnicode);

// What BLEU is made of; those of a corpus are the sums of its pairs'. Index n - 1 is the order n.
struct BleuStatistics {
  std::array<std::int64_t, 4> correct{}, total{};        // n-grams of the answer that the reference has too (at most as often); all of them
  std::int64_t answer_length = 0, reference_length = 0;  // tokens

  BleuStatistics& operator+=(const BleuStatistics& other);
};
// Tokens are mteval-v13a's, case kept.
BleuStatistics bleu_statistics(std::string_view answer, std::string_view reference);
// 0..100, exponential smoothing. No n-gram in common, or an empty text: 0.
double corpus_bleu(const BleuStatistics& sum);
// The same of one pair, over the orders that the answer is long enough for (sacrebleu's effective order).
double sentence_bleu(const BleuStatistics& pair);

// What chrF is made of; those of a corpus are the sums of its pairs'. Index n - 1 is the order n.
struct ChrfStatistics {
  std::array<std::int64_t, 6> answer{}, reference{},
      match{};  // character n-grams without white space; answer counts where reference is not 0

  ChrfStatistics& operator+=(const ChrfStatistics& other);
};
ChrfStatistics chrf_statistics(std::string_view answer, std::string_view reference);
// 0..100, beta 2, precision and recall averaged over the orders that both texts are long enough for (no epsilon smoothing). None: 0.
double chrf(const ChrfStatistics& sum);

}  // namespace deskhand
