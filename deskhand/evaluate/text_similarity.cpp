#include "deskhand/evaluate/text_similarity.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "deskhand/base/error.h"
#include "deskhand/base/utf8.h"
#include "deskhand/text/lcs.h"
#include "deskhand/text/normalize.h"

namespace deskhand {
namespace {

// Valid UTF-8 of a text; `room` holds it where the text had to be repaired.
std::string_view valid(std::string_view text, std::string& room) {
  if (text.size() >= std::size_t{1} << 30)
    throw Error(ExitCode::kTooLarge, "a text of {} bytes is too long to be compared; at most 1 GiB can be", text.size());
  return is_valid_utf8(text) ? text : room = repair_utf8(text);
}

bool is_python_space(char32_t c) {  // str.isspace
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

// Numbers for the words of the reference, 1 and on; 0 for all others.
class WordNumbers {
 public:
  explicit WordNumbers(std::size_t most) : slots_(std::bit_ceil(most * 2 + 2)) {}

  std::uint32_t add(std::string_view word) {
    Slot& slot = slots_[place(word)];
    if (slot.number == 0) slot = {word, ++count_};
    return slot.number;
  }
  std::uint32_t find(std::string_view word) const { return slots_[place(word)].number; }
  std::uint32_t count() const { return count_; }

 private:
  struct Slot {
    std::string_view word;
    std::uint32_t number = 0;
  };
  std::size_t place(std::string_view word) const {
    std::size_t at = std::hash<std::string_view>{}(word) & (slots_.size() - 1);
    while (slots_[at].number != 0 && slots_[at].word != word) at = (at + 1) & (slots_.size() - 1);
    return at;
  }

  std::vector<Slot> slots_;  // at most half full
  std::uint32_t count_ = 0;
};

struct Pair {
  std::vector<std::uint32_t> answer, reference;  // equal numbers are equal words; 0: a word of the answer that the reference lacks
};

Pair number_words(const std::vector<std::string_view>& answer, const std::vector<std::string_view>& reference) {
  Pair pair;
  WordNumbers numbers(reference.size());
  pair.reference.reserve(reference.size()), pair.answer.reserve(answer.size());
  for (const auto word : reference) pair.reference.push_back(numbers.add(word));
  for (const auto word : answer) pair.answer.push_back(numbers.find(word));
  return pair;
}

// How many n-grams of the answer the reference has too, each at most as often, for n = 1 to Orders. An n-gram is known by the number of its
// first n - 1 symbols and its last symbol.
template <std::size_t Orders>
std::array<std::int64_t, Orders> matching_ngrams(std::span<const std::uint32_t> answer, std::span<const std::uint32_t> reference) {
  struct Slot {
    std::uint64_t gram = 0;   // number of the beginning << 32 | last symbol; 0: free
    std::uint32_t count = 0;  // in the reference, less those found in the answer
  };
  std::array<std::int64_t, Orders> matches{};
  std::vector<Slot> slots(std::bit_ceil(reference.size() * 2 + 2));
  const int shift = 64 - std::countr_zero(slots.size());
  const auto place = [&](std::uint64_t gram) {
    std::size_t at = gram * 0x9E3779B97F4A7C15u >> shift;
    while (slots[at].gram != 0 && slots[at].gram != gram) at = (at + 1) & (slots.size() - 1);
    return at;
  };
  std::vector<std::uint32_t> in_answer(answer.size(), 1), in_reference(reference.size(), 1);  // number of the n-gram from here; 0: unknown
  for (std::size_t n = 1; n <= Orders; ++n) {
    if (reference.size() < n || answer.size() < n) break;
    if (n > 1) std::fill(slots.begin(), slots.end(), Slot{});
    for (std::size_t i = 0; i + n <= reference.size(); ++i) {
      const std::uint64_t gram = std::uint64_t{in_reference[i]} << 32 | reference[i + n - 1];
      const std::size_t at = place(gram);
      slots[at].gram = gram;
      ++slots[at].count;
      in_reference[i] = static_cast<std::uint32_t>(at + 1);
    }
    for (std::size_t i = 0; i + n <= answer.size(); ++i) {
      if (in_answer[i] == 0) continue;
      const std::size_t at = place(std::uint64_t{in_answer[i]} << 32 | answer[i + n - 1]);
      in_answer[i] = slots[at].gram == 0 ? 0 : static_cast<std::uint32_t>(at + 1);
      if (slots[at].count == 0) continue;
      --slots[at].count;
      ++matches[n - 1];
    }
  }
  return matches;
}

std::int64_t ngrams(std::size_t length, std::size_t order) {
  return length < order ? 0 : static_cast<std::int64_t>(length - order + 1);
}

// ---- ROUGE

bool is_word_character(char32_t c) {
  constexpr std::uint32_t kWord = U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK;
  return (U_MASK(u_charType(static_cast<UChar32>(c))) & kWord) != 0;
}

bool is_word_alone(char32_t c) {  // ideographs, hiragana, katakana (with the small and the half-width ones)
  return is_chinese_character(c) || (c >= 0x3041 && c <= 0x30FF) || (c >= 0x31F0 && c <= 0x31FF) || (c >= 0xFF66 && c <= 0xFF9D);
}

// The words in lower case, one behind the other in `room`, which must not be changed while they are in use.
std::vector<std::string_view> rouge_words(std::string_view text, RougeWords kind, std::string& room) {
  struct Piece {
    std::size_t begin, end;
  };
  std::vector<Piece> pieces;
  room.clear();
  room.reserve(text.size() + text.size() / 2);
  bool inside = false;  // the last piece goes on
  for (std::size_t at = 0; at < text.size();) {
    char32_t c = next_character(text, at);
    bool parts = false;  // ends the word that it ends with
    if (kind == RougeWords::kAscii && c >= 0x80) {
      parts = c == 0x130;                            // Python's lower case of it is "i" and a combining dot
      c = parts ? U'i' : c == 0x212A ? U'k' : U' ';  // the Kelvin sign; there is no third
    }
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (c < 0x80 ? !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) : !is_word_character(c)) {
      inside = false;
      continue;
    }
    const bool alone = c >= 0x80 && is_word_alone(c);
    if (!inside || alone) pieces.push_back({room.size(), room.size()});
    if (c < 0x80) {
      room += static_cast<char>(c);
    } else {
      std::string one;
      append_utf8(one, c);
      room += lower_case(one);
    }
    pieces.back().end = room.size();
    inside = !alone && !parts;
  }
  std::vector<std::string_view> words;
  words.reserve(pieces.size());
  for (const auto& [begin, end] : pieces) words.push_back(std::string_view(room).substr(begin, end - begin));
  return words;
}

// ---- BLEU

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool stands_alone(char c) {  // {-~ [-` space-& (-+ :-@ /: ASCII punctuation but ' , - .
  const auto at = static_cast<unsigned char>(c);
  return (at >= 0x7B && at <= 0x7E) || (at >= 0x5B && at <= 0x60) || (at >= 0x20 && at <= 0x26) || (at >= 0x28 && at <= 0x2B) ||
         (at >= 0x3A && at <= 0x40) || at == 0x2F;
}

// mteval-v13a: four regular expressions, each over the whole line, matches from left to right without overlap. They look at ASCII alone, so
// bytes will do for characters. The tokens lie in `room`.
std::vector<std::string_view> tokens_13a(std::string_view text, std::string& room) {
  while (!text.empty()) {  // str.rstrip
    std::size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
    std::size_t at = last;
    if (!is_python_space(next_character(text, at))) break;
    text = text.substr(0, last);
  }
  std::string line(text);
  if (line.find('<') != std::string::npos) replace_all(line, "<skipped>", "");
  replace_all(line, "-\n", "");
  std::replace(line.begin(), line.end(), '\n', ' ');
  if (line.find('&') != std::string::npos) {
    replace_all(line, "&quot;", "\"");
    replace_all(line, "&amp;", "&");
    replace_all(line, "&lt;", "<");
    replace_all(line, "&gt;", ">");
  }

  std::string next;
  next.reserve(line.size() * 2 + 2);
  next += ' ';
  for (const char c : line) {
    if (!stands_alone(c)) {
      next += c;
    } else if (c == ' ') {
      next += ' ';  // more of them would change nothing
    } else {
      next += ' ', next += c, next += ' ';
    }
  }
  next += ' ';
  line.swap(next);

  const auto is_stop = [](char c) { return c == '.' || c == ','; };
  const auto pass = [&](auto first, auto second, bool before, bool between, bool after) {
    next.clear();
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (i + 1 == line.size() || !first(line[i]) || !second(line[i + 1])) {
        next += line[i];
        continue;
      }
      if (before) next += ' ';
      next += line[i];
      if (between) next += ' ';
      next += line[++i];
      if (after) next += ' ';
    }
    line.swap(next);
  };
  pass([](char c) { return !is_digit(c); }, is_stop, false, true, true);
  pass(
      is_stop, [](char c) { return !is_digit(c); }, true, true, false);
  pass(
      is_digit, [](char c) { return c == '-'; }, false, true, true);

  room = std::move(line);
  std::vector<std::string_view> tokens;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < room.size();) {
    const std::size_t here = at;
    if (!is_python_space(next_character(room, at))) continue;
    if (here > begin) tokens.push_back(std::string_view(room).substr(begin, here - begin));
    begin = at;
  }
  return tokens;  // the line ends with a space
}

double bleu(const BleuStatistics& stats, bool effective_order) {
  const auto [correct, total, answer, reference] = stats;
  if (std::all_of(correct.begin(), correct.end(), [](std::int64_t count) { return count == 0; })) return 0;
  double brevity = 1;
  if (answer < reference) brevity = answer > 0 ? std::exp(1 - static_cast<double>(reference) / static_cast<double>(answer)) : 0;
  std::array<double, 4> precision{};
  double smooth = 1;
  std::size_t orders = 4;
  for (std::size_t n = 0; n < 4 && total[n] != 0; ++n) {
    if (effective_order) orders = n + 1;
    if (correct[n] == 0) {
      smooth *= 2;
      precision[n] = 100.0 / (smooth * static_cast<double>(total[n]));
    } else {
      precision[n] = 100.0 * static_cast<double>(correct[n]) / static_cast<double>(total[n]);
    }
  }
  double logs = 0;
  for (std::size_t n = 0; n < orders; ++n) logs += precision[n] == 0 ? -9999999999.0 : std::log(precision[n]);  // sacrebleu's my_log
  return brevity * std::exp(logs / static_cast<double>(orders));
}

// ---- chrF

std::vector<std::uint32_t> without_space(std::string_view text) {
  std::vector<std::uint32_t> characters;
  characters.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (!is_python_space(c)) characters.push_back(c);
  }
  return characters;
}

}  // namespace

RougeL rouge_l(std::string_view answer, std::string_view reference, RougeWords words) {
  std::string answer_room, reference_room, answer_words, reference_words;
  auto [in_answer, in_reference] = number_words(rouge_words(valid(answer, answer_room), words, answer_words),
                                                rouge_words(valid(reference, reference_room), words, reference_words));
  if (in_answer.empty() || in_reference.empty()) return {};
  const auto answer_length = static_cast<double>(in_answer.size()), reference_length = static_cast<double>(in_reference.size());
  // Words that only one side has are in no common subsequence.
  std::vector<bool> answered(in_reference.size() + 1);
  for (const std::uint32_t number : in_answer) answered[number] = true;
  std::erase(in_answer, 0u);
  std::erase_if(in_reference, [&](std::uint32_t number) { return !answered[number]; });
  const auto common = static_cast<double>(lcs_length(in_answer, in_reference));

  RougeL found{.precision = common / answer_length, .recall = common / reference_length};
  if (common > 0) found.f1 = 2 * found.precision * found.recall / (found.precision + found.recall);
  return found;
}

BleuStatistics& BleuStatistics::operator+=(const BleuStatistics& other) {
  for (std::size_t n = 0; n < correct.size(); ++n) correct[n] += other.correct[n], total[n] += other.total[n];
  answer_length += other.answer_length;
  reference_length += other.reference_length;
  return *this;
}

BleuStatistics bleu_statistics(std::string_view answer, std::string_view reference) {
  std::string answer_room, reference_room, answer_tokens, reference_tokens;
  const auto [in_answer, in_reference] =
      number_words(tokens_13a(valid(answer, answer_room), answer_tokens), tokens_13a(valid(reference, reference_room), reference_tokens));
  BleuStatistics stats{.correct = matching_ngrams<4>(in_answer, in_reference),
                       .answer_length = static_cast<std::int64_t>(in_answer.size()),
                       .reference_length = static_cast<std::int64_t>(in_reference.size())};
  for (std::size_t n = 0; n < stats.total.size(); ++n) stats.total[n] = ngrams(in_answer.size(), n + 1);
  return stats;
}

double corpus_bleu(const BleuStatistics& sum) {
  return bleu(sum, false);
}

double sentence_bleu(const BleuStatistics& pair) {
  return bleu(pair, true);
}

ChrfStatistics& ChrfStatistics::operator+=(const ChrfStatistics& other) {
  for (std::size_t n = 0; n < match.size(); ++n)
    answer[n] += other.answer[n], reference[n] += other.reference[n], match[n] += other.match[n];
  return *this;
}

ChrfStatistics chrf_statistics(std::string_view answer, std::string_view reference) {
  std::string answer_room, reference_room;
  const auto in_answer = without_space(valid(answer, answer_room)), in_reference = without_space(valid(reference, reference_room));
  ChrfStatistics stats{.match = matching_ngrams<6>(in_answer, in_reference)};
  for (std::size_t n = 0; n < stats.match.size(); ++n) {
    stats.reference[n] = ngrams(in_reference.size(), n + 1);
    stats.answer[n] = stats.reference[n] > 0 ? ngrams(in_answer.size(), n + 1) : 0;
  }
  return stats;
}

double chrf(const ChrfStatistics& sum) {
  constexpr double kFactor = 4;  // beta squared
  double precision = 0, recall = 0, orders = 0;
  for (std::size_t n = 0; n < sum.match.size(); ++n) {
    if (sum.answer[n] <= 0 || sum.reference[n] <= 0) continue;
    precision += static_cast<double>(sum.match[n]) / static_cast<double>(sum.answer[n]);
    recall += static_cast<double>(sum.match[n]) / static_cast<double>(sum.reference[n]);
    ++orders;
  }
  if (orders > 0) precision /= orders, recall /= orders;
  return precision + recall > 0 ? 100 * ((1 + kFactor) * precision * recall / (kFactor * precision + recall)) : 0;
}

}  // namespace deskhand
