#include "deskhand/tickets/rewriting.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "deskhand/tickets/pattern.h"
#include "deskhand/tickets/redact_names.h"

namespace deskhand {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = text.find_first_not_of(" \t\r\n"); at != text.npos; at = text.find_first_not_of(" \t\r\n", at)) {
    const auto end = std::min(text.find_first_of(" \t\r\n", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// What a sentence's end is: a mark, a blank, and no small letter or digit behind it ("z. B.", "No. 5", "e.g. this" go on).
std::vector<std::string_view> sentences_of(std::string_view text) {
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  const auto close = [&](std::size_t end) {
    auto one = text.substr(begin, end - begin);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    if (!one.empty()) sentences.push_back(one);
    begin = end;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("||")) {
      close(i);
      begin = i + 2;
      ++i;
      continue;
    }
    if (text[i] != '.' && text[i] != '!' && text[i] != '?') continue;
    if (i + 1 < text.size() && text[i + 1] != ' ') continue;
    const char next = i + 2 < text.size() ? text[i + 2] : 'A';
    const auto word = i - begin;
    const bool initial = word >= 1 && (i < 2 || text[i - 2] == ' ' || text[i - 2] == '.') && text[i] == '.';
    if ((next >= 'a' && next <= 'z') || (text[i] == '.' && is_digit(next)) || initial) continue;
    close(i + 1);
  }
  close(text.size());
  return sentences;
}

std::string bare(std::string_view word) {  // folded, without punctuation around it
  const auto is_mark = [](char c) {
    return !(is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80);
  };
  while (!word.empty() && is_mark(word.front())) word.remove_prefix(1);
  while (!word.empty() && is_mark(word.back())) word.remove_suffix(1);
  return simple_fold(word);
}

// Letters and digits alone, folded: "SOP-310" and "sop 310" say the same.
std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : simple_fold(text))
    if (is_digit(c) || (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80) out += c;
  return out;
}

bool is_code(std::string_view word) {  // a digit in it, an underscore, or three capitals and more
  const auto capitals = std::count_if(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  const bool small = std::any_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  return std::any_of(word.begin(), word.end(), is_digit) || word.find('_') != word.npos || (capitals >= 3 && !small);
}

// The same four words, three times; or one sentence twice.
bool loops(std::string_view text) {
  const auto words = words_of(text);
  std::map<std::string, int> runs;
  for (std::size_t i = 0; i + 4 <= words.size(); ++i) {
    std::string run;
    for (std::size_t j = i; j < i + 4; ++j) run += bare(words[j]) + ' ';
    if (++runs[run] >= 3) return true;
  }
  std::set<std::string> sentences;
  for (const auto sentence : sentences_of(text))
    if (count_words(sentence) >= 4 && !sentences.insert(squeezed(sentence)).second) return true;
  return false;
}

const Pattern& label() {
  static const Pattern pattern{
      R"(\A\s*(?:(?:here is|here's|this is)[^\n:]{0,60}:|(?:assistant|rewritten|clean(?:ed)?|clear)?[ _]*(?:problem|resolution|summary|answer|issue|ticket)(?:[ _]+(?:statement|summary|description))?[ ]*:)\s*)"};
  return pattern;
}
const Pattern& bullet() {
  static const Pattern pattern{R"(^[ \t]*(?:[-*•‣–]|\d{1,2}[.)])[ \t]+)"};
  return pattern;
}
const Pattern& refusal() {
  static const Pattern pattern{
      R"(\bas an? (?:ai|language model|assistant)\b|i(?:['’]m| am) (?:sorry|unable|not able)\b|i (?:cannot|can['’]t|could not) (?:assist|help|provide|rewrite|summari[sz]e|fulfil|answer|access)|(?:please provide|provide me with|could you (?:please )?(?:provide|clarify))|no (?:text|information|problem|content|resolution) (?:was |is )?(?:provided|given|available)|the (?:text|ticket|message) (?:you )?(?:provided )?is (?:empty|incomplete|missing)|es tut mir leid|je suis désolé)"};
  return pattern;
}

}  // namespace

std::string_view name_of(RewriteFault fault) {
  constexpr std::array<std::string_view, kRewriteFaults> kNames = {"none",      "no answer",       "refusal", "loop",
                                                                   "invention", "personal detail", "too long"};
  return kNames[static_cast<std::size_t>(fault)];
}

std::size_t count_words(std::string_view text) {
  return words_of(text).size();
}

std::string tidy_rewriting(std::string_view given, std::size_t most, Cleaner& plain) {
  std::string text(given);
  bullet().replace_all(text, "");
  if (const auto found = label().find(text)) text.erase(0, found->end);
  text = one_line(plain.clean(text));
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"\"", "\""}, {"“", "”"}, {"'", "'"}})
    if (text.size() > open.size() + close.size() && text.starts_with(open) && text.ends_with(close) &&
        text.find(close, open.size()) == text.size() - close.size())
      text = text.substr(open.size(), text.size() - open.size() - close.size());
  if (count_words(text) <= most) return text;
  std::string kept;
  std::size_t words = 0;
  for (const auto sentence : sentences_of(text)) {
    words += count_words(sentence);
    if (words > most) break;
    if (!kept.empty()) kept += ' ';
    kept += sentence;
  }
  return kept.empty() ? text : kept;
}

RewriteFault check_rewriting(std::string_view source, std::string_view text, std::size_t most, Cleaner& cleaner) {
  if (count_words(text) == 0) return RewriteFault::kNoAnswer;
  if (refusal().matches(text) && !refusal().matches(source)) return RewriteFault::kRefusal;
  if (loops(text)) return RewriteFault::kLoop;
  const std::string known = squeezed(source);
  for (const auto word : words_of(text)) {
    const auto code = bare(word);
    if (is_code(word) && known.find(squeezed(code)) == std::string::npos) return RewriteFault::kInvention;
  }
  if (cleaner.redactor()) {
    cleaner.begin_ticket();
    if (cleaner.redact(text) != text) return RewriteFault::kPersonal;
  }
  if (count_words(text) > most) return RewriteFault::kTooLong;
  return RewriteFault::kNone;
}

std::string extract_summary(std::string_view text, std::size_t most) {
  const std::string line = one_line(text);
  if (count_words(line) <= most) return line;
  const auto sentences = sentences_of(line);
  std::unordered_map<std::string, double> often;
  const auto content = [](std::string_view sentence) {  // words of a subject are seldom short
    std::vector<std::string> found;
    for (const auto word : words_of(sentence))
      if (auto plain = bare(word); plain.size() >= 4) found.push_back(std::move(plain));
    return found;
  };
  for (const auto sentence : sentences)
    for (const auto& word : content(sentence)) ++often[word];
  std::vector<double> weight(sentences.size(), 0);
  for (std::size_t i = 0; i < sentences.size(); ++i) {
    std::unordered_set<std::string> seen;
    for (const auto& word : content(sentences[i]))
      if (seen.insert(word).second) weight[i] += often[word] + (is_code(word) ? 1 : 0);
    weight[i] /= 3.0 + static_cast<double>(count_words(sentences[i]));  // per word; the shortest do not win by it
  }
  std::vector<std::size_t> order(sentences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin() + 1, order.end(), [&](std::size_t a, std::size_t b) { return weight[a] > weight[b]; });
  std::vector<std::size_t> chosen;
  std::size_t words = 0;
  for (const auto i : order) {
    const auto size = count_words(sentences[i]);
    if (words + size > most) continue;
    words += size;
    chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end());
  std::string out;
  for (const auto i : chosen) {
    if (!out.empty()) out += ' ';
    out += sentences[i];
    if (const char last = out.back(); last != '.' && last != '!' && last != '?') out += '.';
  }
  if (!out.empty()) return out;
  const auto all = words_of(line);  // one endless sentence: its beginning
  for (std::size_t i = 0; i < most; ++i) (out += i ? " " : "") += all[i];
  return out;
}

}  // namespace deskhand
