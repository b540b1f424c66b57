#include "deskhand/triage/sentences.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// text[at] is a full stop that belongs to the word before it: "e.g.", "No. 5", "z. B.", "1. ".
bool is_abbreviation(std::string_view text, std::size_t at) {
  constexpr std::array<std::string_view, 20> kWords = {"e.g", "i.e", "no", "nos", "approx", "ref", "dr", "mr",  "mrs", "ms",
                                                       "ltd", "inc", "st", "vs",  "bzw",    "nr",  "ca", "etc", "fig", "max"};
  std::size_t begin = at;
  while (begin > 0 && !is_space(text[begin - 1]) && text[begin - 1] != '(') --begin;
  std::string word(text.substr(begin, at - begin));
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (word.size() == 1 && std::isalnum(static_cast<unsigned char>(word[0])))
    return std::isalpha(static_cast<unsigned char>(word[0])) || begin == 0;
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

// The place behind a sentence that ends at text[at], or 0 if none does.
std::size_t end_of_sentence(std::string_view text, std::size_t at) {
  const char c = text[at];
  if (c == '\n') return at + 1;
  if (text.substr(at).starts_with(" || ")) return at + 4;
  if (c != '.' && c != '!' && c != '?') return 0;
  std::size_t next = at + 1;
  while (next < text.size() && (text[next] == ')' || text[next] == '"' || text[next] == '\'')) ++next;
  if (next >= text.size() || !is_space(text[next])) return 0;
  const std::size_t end = next;
  while (next < text.size() && is_space(text[next])) ++next;
  if (next >= text.size()) return 0;
  const auto first = static_cast<unsigned char>(text[next]);
  if (!std::isupper(first) && !std::isdigit(first) && first != '"' && first != '(' && first < 0x80) return 0;
  return c == '.' && is_abbreviation(text, at) ? 0 : end;
}

}  // namespace

std::vector<std::string_view> sentences_of(std::string_view text) {
  std::vector<std::string_view> sentences;
  std::size_t begin = 0;
  const auto take = [&](std::size_t end) {
    auto sentence = trim(text.substr(begin, end - begin));
    if (sentence.ends_with("||")) sentence = trim(sentence.substr(0, sentence.size() - 2));
    if (!sentence.empty()) sentences.push_back(sentence);
    begin = end;
  };
  for (std::size_t at = 0; at < text.size(); ++at)
    if (const std::size_t end = end_of_sentence(text, at)) {
      take(end);
      at = end - 1;
    }
  take(text.size());
  return sentences;
}

std::string shorten(std::string_view text, std::size_t max_bytes) {
  DESKHAND_ASSERT(max_bytes >= 4, "room for a character and dots");
  if (text.size() <= max_bytes) return std::string(text);
  std::size_t end = 0;
  for (const std::string_view sentence : sentences_of(text)) {
    const auto stop = static_cast<std::size_t>(sentence.data() + sentence.size() - text.data());
    if (stop > max_bytes) break;
    end = stop;
  }
  if (end > 0) return std::string(trim(text.substr(0, end)));
  end = max_bytes - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  std::size_t word = end;
  while (word > 0 && !is_space(text[word])) --word;
  return std::string(trim(text.substr(0, word > 0 ? word : end))) + "...";
}

}  // namespace deskhand
