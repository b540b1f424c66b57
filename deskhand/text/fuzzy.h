// How alike two texts are, 0..100: to the last bit what rapidfuzz 3.14 gives for ratio, partial_ratio, token_sort_ratio and token_set_ratio
// of two Python strings without a processor (case and punctuation count). Works on Unicode code points; a wrong part of the UTF-8 counts as
// U+FFFD. ratio = 1 - (insertions + deletions) / (length a + length b) = 2 LCS / (length a + length b).
//
// Words are split where rapidfuzz splits them: at Python's white space, but in a text whose characters all lie below U+0100 the characters
// U+0085 and U+00A0 (no-break space) do not split, since rapidfuzz reads such a text as bytes.
//
// Empty texts as rapidfuzz has them: ratio, partial_ratio and token_sort_ratio of two empty texts are 100, token_set_ratio is 0 where a
// text has no word. With `cutoff` a value below it is given as 0, sooner where bounds show it.
//
// Time: about length a * length b / 64 word steps; partial_ratio of different lengths takes length a * length b cells of 8 to 32 at once.
// Memory: some bytes a character.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace deskhand {

// A text decoded, split and sorted once, to be compared with many.
class FuzzyText {
 public:
  struct Word {
    std::uint64_t key = 0;                // orders as the first characters do; equal keys need a look at the characters
    std::uint32_t begin = 0, length = 0;  // of characters()
    std::uint32_t count = 1;              // how often the text has it
  };

  FuzzyText() = default;
  explicit FuzzyText(std::string_view utf8);  // Error kTooLarge at 2^32 bytes and more

  std::span<const std::uint32_t> characters() const { return characters_; }
  std::span<const Word> words() const { return words_; }  // each once, in the order of their code points
  std::span<const std::uint32_t> characters(const Word& word) const { return characters().subspan(word.begin, word.length); }

 private:
  void sort_words();

  std::vector<std::uint32_t> characters_;
  std::vector<Word> words_;
};

double ratio(const FuzzyText& a, const FuzzyText& b, double cutoff = 0);
// The best ratio of the shorter text with a part of the longer one that is not longer than it: all windows of its length, and what is cut
// by either end. Of two texts of the same length both are taken as the shorter one.
double partial_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff = 0);
// ratio of the words in sorted order, joined by spaces.
double token_sort_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff = 0);
// The best ratio among: the common words, the common words with those only a has, with those only b has (each word once, sorted). 100 where
// all words of one text stand in the other.
double token_set_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff = 0);

}  // namespace deskhand
