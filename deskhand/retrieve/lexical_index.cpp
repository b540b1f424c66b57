#include "deskhand/retrieve/lexical_index.h"

#include <algorithm>

#include "deskhand/retrieve/words.h"

namespace deskhand {
namespace {

constexpr std::size_t kMostWords = 512;    // a ticket of 500 different words is already its whole mail thread
constexpr std::size_t kLongestWord = 256;  // bytes; longer ones are attachments pasted as text

std::string ascii_lower(std::string_view word) {
  std::string lower(word);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// The distinct words of a text in order, as many as a query may have.
std::vector<std::string> query_words(std::string_view text, const std::unordered_set<std::string>* left_out) {
  std::vector<std::string> words;
  std::unordered_set<std::string> seen;
  for (const std::string_view word : words_of(text, true)) {
    if (word.size() > kLongestWord) continue;
    std::string lower = ascii_lower(word);
    if ((left_out && left_out->contains(lower)) || !seen.insert(lower).second) continue;
    words.push_back(std::move(lower));
    if (words.size() == kMostWords) break;
  }
  return words;
}

}  // namespace

std::unordered_set<std::string> words_of_most_cases(Database& database) {
  auto rows = database.prepare("SELECT term FROM case_word_counts WHERE doc * 2 >= (SELECT count(*) FROM cases)");
  std::unordered_set<std::string> words;
  while (rows.step()) words.emplace(rows.text(0));
  return words;
}

std::string words_query(std::string_view text, const std::unordered_set<std::string>& left_out) {
  auto words = query_words(text, &left_out);
  if (words.empty()) words = query_words(text, nullptr);
  std::string query;
  for (const std::string& word : words) {
    if (!query.empty()) query += " OR ";
    query += '"';
    query += word;  // a word holds no quote
    query += '"';
  }
  return query;
}

std::vector<LexicalHit> search_words(Database& database, std::string_view text, std::int64_t k,
                                     const std::unordered_set<std::string>& left_out) {
  const std::string query = words_query(text, left_out);
  std::vector<LexicalHit> hits;
  if (query.empty() || k <= 0) return hits;
  // bm25() in ORDER BY lets SQLite keep the k best only; ORDER BY rank would have FTS5 sort every match.
  auto rows = database.prepare(
      "SELECT c.ticket_id, found.score FROM (SELECT rowid AS id, bm25(case_words) AS score FROM case_words WHERE case_words MATCH ?1 "
      "ORDER BY score LIMIT ?2) AS found JOIN cases c ON c.id = found.id");
  rows.bind(1, query).bind(2, k);
  while (rows.step()) hits.push_back({std::string(rows.text(0)), -rows.real(1)});
  std::sort(hits.begin(), hits.end(),
            [](const LexicalHit& a, const LexicalHit& b) { return a.bm25 != b.bm25 ? a.bm25 > b.bm25 : a.ticket_id < b.ticket_id; });
  return hits;
}

}  // namespace deskhand
