// BM25 over the cases' problems, by SQLite's FTS5 (table `case_words`, made with the case store).
//
// Tokens are unicode61's, diacritics removed, with "_" as part of a word: \w+ of any script. The hyphen stays a separator. Were it part of
// a word, "log-in" and "log in", "-item" in a list and "item" would be strangers, and "CVN1042" or "CVN 1042", as customers write it, would
// share nothing with CVN-1042; as it is, the rare half "1042" carries the weight. Whole codes have a channel of their own: exact_match.h.
//
// Score of case D for the distinct words q of the query, https://sqlite.org/fts5.html#the_bm25_function (sign turned: more is better):
//   sum_q idf(q) f(q,D) (k1 + 1) / (f(q,D) + k1 (1 - b + b |D| / avgdl)),  idf(q) = ln((N - n(q) + .5) / (n(q) + .5)),  k1 = 1.2, b = .75
// rank-bm25's BM25Okapi is the same formula with k1 = 1.5 by default, and differs in two more points: a word that stands in half of the
// cases or more counts .25 of the mean idf there and 1e-6 here (those words are left out of the query altogether), and a word repeated
// in the query counts each time there and once here. With BM25Okapi(k1=1.2, b=.75), distinct query words, none in half of the cases, and
// tokens from \w+ of the lower-cased text, the scores are equal.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "deskhand/base/sqlite.h"

namespace deskhand {

struct LexicalHit {
  std::string ticket_id;
  double bm25 = 0;  // above 0
};

// Words that say nothing: those of half of the cases or more, folded to ASCII lower case. Read once, given to every query.
std::unordered_set<std::string> words_of_most_cases(Database& database);

// The k best cases, best first, ties by ticket id. Any text is a valid query: only its words reach FTS5, each quoted, the first 512
// distinct ones of it; words of `left_out` only if there are no others. A text without words finds nothing. The tables must be there.
std::vector<LexicalHit> search_words(Database& database, std::string_view text, std::int64_t k,
                                     const std::unordered_set<std::string>& left_out = {});

// The FTS5 expression for a text: "cvn" OR "1042"; empty if it has no words.
std::string words_query(std::string_view text, const std::unordered_set<std::string>& left_out = {});

}  // namespace deskhand
