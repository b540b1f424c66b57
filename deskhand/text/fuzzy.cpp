#include "deskhand/text/fuzzy.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "deskhand/base/error.h"
#include "deskhand/text/lcs.h"
#include "deskhand/text/normalize.h"

namespace deskhand {
namespace {

// Python's str.isspace, of which rapidfuzz has a list of its own. Without branches for most texts: nobody can guess where a word ends.
bool splits_words(std::uint32_t c, bool narrow) {
  const bool common = (c == 0x20) | (c - 0x09 < 5u) | (c - 0x1C < 4u);
  if (c < 0x85 || narrow) return common;
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// Eight characters, the first one on top. From the first that has no byte on, 255 and then nothing: it orders by itself.
std::uint64_t key_of(Symbols word) {
  std::uint64_t key = 0;
  const std::size_t length = std::min<std::size_t>(word.size(), 8);
  for (std::size_t i = 0; i < length; ++i) {
    if (word[i] >= 255) return (key << 8 | 255) << (8 * (7 - i));
    key = key << 8 | word[i];
  }
  return length == 0 ? 0 : key << (8 * (8 - length));
}

// The same of an ASCII text's bytes.
std::uint64_t key_of(std::string_view text, std::size_t begin, std::size_t length) {
  std::uint64_t key = 0;
  if (begin + 8 > text.size()) {
    for (std::size_t i = 0; i < 8; ++i) key = key << 8 | (i < length ? static_cast<unsigned char>(text[begin + i]) : 0u);
    return key;
  }
  for (std::size_t i = 0; i < 8; ++i) key = key << 8 | static_cast<unsigned char>(text[begin + i]);  // one load
  return length < 8 ? key >> (8 * (8 - length)) << (8 * (8 - length)) : key;
}

std::strong_ordering compare(const FuzzyText& a, const FuzzyText::Word& x, const FuzzyText& b, const FuzzyText::Word& y) {
  if (x.key != y.key) return x.key <=> y.key;
  const Symbols left = a.characters(x), right = b.characters(y);
  return std::lexicographical_compare_three_way(left.begin(), left.end(), right.begin(), right.end());
}

void append_word(std::vector<std::uint32_t>& joined, Symbols word) {
  if (!joined.empty()) joined.push_back(' ');
  joined.insert(joined.end(), word.begin(), word.end());
}

double at_least(double value, double cutoff) {
  return value >= cutoff ? value : 0;
}

// rapidfuzz's normalized_similarity, rounded as it rounds.
double ratio_of(std::size_t common, std::size_t lengths) {
  const std::size_t distance = lengths - 2 * common;
  return (1.0 - (lengths == 0 ? 0.0 : static_cast<double>(distance) / static_cast<double>(lengths))) * 100;
}

double ratio_of(Symbols a, Symbols b, double cutoff) {
  const std::size_t lengths = a.size() + b.size();
  if (ratio_of(std::min(a.size(), b.size()), lengths) < cutoff) return 0;
  return at_least(ratio_of(lcs_length(a, b), lengths), cutoff);
}

// The best of the parts of b that begin b and are shorter than a; what has not grown is no better than the part before it.
double best_of_prefixes(Symbols a, Symbols b, std::size_t longest) {
  const auto growth = lcs_growth(a, b.first(longest));
  double best = 0;
  std::size_t common = 0;
  for (std::size_t i = 0; i < growth.size(); ++i) {
    common += growth[i];
    if (growth[i] != 0) best = std::max(best, ratio_of(common, a.size() + i + 1));
  }
  return best;
}

double partial_of_equal_lengths(Symbols a, Symbols b) {
  const std::vector<std::uint32_t> a_back(a.rbegin(), a.rend()), b_back(b.rbegin(), b.rend());
  return std::max({best_of_prefixes(a, b, b.size()), best_of_prefixes(b, a, a.size()), best_of_prefixes(a_back, b_back, b.size()),
                   best_of_prefixes(b_back, a_back, a.size())});
}

double partial_of_shorter(Symbols a, Symbols b) {
  const auto strands = lcs_strands(a, b);
  const auto width = static_cast<std::int32_t>(a.size()), end = static_cast<std::int32_t>(b.size());
  std::vector<std::int32_t> ends(b.size(), end);  // where the strand that begins at this place ends
  for (std::int32_t e = 0; e < end; ++e)
    if (strands[static_cast<std::size_t>(e)] >= 0) ends[static_cast<std::size_t>(strands[static_cast<std::size_t>(e)])] = e;

  double best = 0;
  const auto try_part = [&](std::int32_t length, std::int32_t whole_strands) {
    best = std::max(best, ratio_of(static_cast<std::size_t>(length - whole_strands), a.size() + static_cast<std::size_t>(length)));
  };
  std::int32_t inside = 0;  // strands that begin and end in [i, j)
  for (std::int32_t j = 0; j < width; ++j) {
    inside += strands[static_cast<std::size_t>(j)] >= 0;
    try_part(j + 1, inside);
  }
  for (std::int32_t i = 1; i + width <= end; ++i) {
    const std::int32_t j = i + width - 1;
    inside -= ends[static_cast<std::size_t>(i - 1)] < j;
    inside += strands[static_cast<std::size_t>(j)] >= i;
    try_part(width, inside);
  }
  for (std::int32_t i = end - width + 1; i < end; ++i) {
    inside -= ends[static_cast<std::size_t>(i - 1)] < end;
    try_part(end - i, inside);
  }
  return best;
}

// rapidfuzz's norm_distance, rounded as it rounds.
double from_distance(std::size_t distance, std::size_t lengths) {
  return lengths > 0 ? 100.0 - 100.0 * static_cast<double>(distance) / static_cast<double>(lengths) : 100.0;
}

}  // namespace

FuzzyText::FuzzyText(std::string_view utf8) {
  if (utf8.size() > 0xFFFFFFFFu)
    throw Error(ExitCode::kTooLarge, "a text of {} bytes is too long to be compared; at most 4 GiB can be", utf8.size());
  bool narrow = true;
  unsigned char bits = 0;
  for (const char c : utf8) bits |= static_cast<unsigned char>(c);
  if (bits < 0x80) {
    characters_.assign(utf8.begin(), utf8.end());
  } else {
    std::string repaired;
    if (!is_valid_utf8(utf8)) utf8 = repaired = repair_utf8(utf8);
    characters_.reserve(utf8.size());
    for (std::size_t at = 0; at < utf8.size();) {
      const char32_t character = next_character(utf8, at);
      narrow &= character < 0x100;
      characters_.push_back(character);
    }
  }

  std::vector<std::uint32_t> ends(characters_.size() + 1);  // of words, those of no characters too
  std::size_t count = 0;
  for (std::size_t at = 0; at < characters_.size(); ++at) {
    ends[count] = static_cast<std::uint32_t>(at);
    count += splits_words(characters_[at], narrow);
  }
  ends[count++] = static_cast<std::uint32_t>(characters_.size());
  words_.reserve(count);
  std::uint32_t begin = 0;
  for (const std::uint32_t end : std::span(ends).first(count)) {
    const std::uint32_t length = end - begin;
    if (length > 0) {
      const std::uint64_t key = bits < 0x80 ? key_of(utf8, begin, length) : key_of(characters().subspan(begin, length));
      words_.push_back({.key = key, .begin = begin, .length = length});
    }
    begin = end + 1;
  }
  sort_words();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (kept > 0 && compare(*this, words_[kept - 1], *this, words_[i]) == 0) {
      ++words_[kept - 1].count;
    } else {
      words_[kept++] = words_[i];
    }
  }
  words_.resize(kept);
}

// Dealt out by the first character, then each heap by itself: two thirds of the time of one sort, whose guesses mostly fail.
void FuzzyText::sort_words() {
  const auto first = [](const Word& word) { return static_cast<std::size_t>(word.key >> 56); };
  std::array<std::uint32_t, 257> begins{};
  for (const Word& word : words_) ++begins[first(word) + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<Word> dealt(words_.size());
  auto next = begins;
  for (const Word& word : words_) dealt[next[first(word)]++] = word;
  for (std::size_t heap = 0; heap < 256; ++heap) {
    if (begins[heap + 1] - begins[heap] < 2) continue;
    std::sort(dealt.begin() + begins[heap], dealt.begin() + begins[heap + 1],
              [this](const Word& x, const Word& y) { return compare(*this, x, *this, y) < 0; });
  }
  words_.swap(dealt);
}

double ratio(const FuzzyText& a, const FuzzyText& b, double cutoff) {
  return ratio_of(a.characters(), b.characters(), cutoff);
}

double partial_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff) {
  const Symbols shorter = a.characters().size() <= b.characters().size() ? a.characters() : b.characters();
  const Symbols longer = a.characters().size() <= b.characters().size() ? b.characters() : a.characters();
  if (shorter.empty()) return at_least(longer.empty() ? 100 : 0, cutoff);
  return at_least(shorter.size() == longer.size() ? partial_of_equal_lengths(shorter, longer) : partial_of_shorter(shorter, longer),
                  cutoff);
}

double token_sort_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff) {
  const auto join = [](const FuzzyText& text) {
    std::vector<std::uint32_t> joined;
    joined.reserve(text.characters().size());
    for (const auto& word : text.words())
      for (std::uint32_t i = 0; i < word.count; ++i) append_word(joined, text.characters(word));
    return joined;
  };
  return ratio_of(join(a), join(b), cutoff);
}

double token_set_ratio(const FuzzyText& a, const FuzzyText& b, double cutoff) {
  if (a.words().empty() || b.words().empty()) return 0;
  std::vector<std::uint32_t> only_a, only_b;
  only_a.reserve(a.characters().size()), only_b.reserve(b.characters().size());
  std::size_t common = 0;  // characters of the common words, joined
  auto x = a.words().begin();
  auto y = b.words().begin();
  while (x != a.words().end() || y != b.words().end()) {
    const auto order = x == a.words().end()   ? std::strong_ordering::greater
                       : y == b.words().end() ? std::strong_ordering::less
                                              : compare(a, *x, b, *y);
    if (order < 0) {
      append_word(only_a, a.characters(*x++));
    } else if (order > 0) {
      append_word(only_b, b.characters(*y++));
    } else {
      common += (common > 0) + x->length;
      ++x, ++y;
    }
  }
  if (common > 0 && (only_a.empty() || only_b.empty())) return at_least(100, cutoff);

  const std::size_t with_a = common + (common > 0) + only_a.size(), with_b = common + (common > 0) + only_b.size();
  double best = 0;
  if (common > 0) best = std::max(from_distance(1 + only_a.size(), common + with_a), from_distance(1 + only_b.size(), common + with_b));
  const std::size_t least = std::max(only_a.size(), only_b.size()) - std::min(only_a.size(), only_b.size());  // distance
  if (from_distance(least, with_a + with_b) > std::max(best, cutoff)) {
    const std::size_t distance = only_a.size() + only_b.size() - 2 * lcs_length(only_a, only_b);
    best = std::max(best, from_distance(distance, with_a + with_b));
  }
  return at_least(best, cutoff);
}

}  // namespace deskhand
