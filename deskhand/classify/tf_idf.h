// Term frequency times inverse document frequency, as scikit-learn's TfidfVectorizer has it: lower case, words of two or more of Unicode's
// \w, pairs of neighbouring words if wanted ("not paid"), idf = ln((1 + texts) / (1 + texts with the term)) + 1, rows of Euclidean
// length 1. Columns stand in scikit-learn's order: terms by their bytes. Not UTF-8: such bytes separate words.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "deskhand/classify/rows.h"

namespace deskhand {

struct TfidfSettings {
  int max_ngram = 1;          // 1: words; 2: pairs of words too
  bool sublinear_tf = false;  // 1 + ln(count) instead of the count
  std::int64_t min_df = 1;    // terms in fewer texts are left out
};

// The words of a text, in order: what the vectorizer counts.
std::vector<std::string> tf_idf_words(std::string_view text);

class TfidfVectorizer {
 public:
  explicit TfidfVectorizer(TfidfSettings settings = {});  // throws Error(kUsage) for max_ngram outside 1..2 or min_df below 1
  ~TfidfVectorizer();
  TfidfVectorizer(TfidfVectorizer&&) noexcept;
  TfidfVectorizer& operator=(TfidfVectorizer&&) noexcept;

  // Learns the terms and their idf; the rows are those of the same texts. Texts without any term have empty rows, and there may be no
  // terms at all. Throws Error(kBadInput) for no texts, Error(kTooLarge) beyond 2^31 - 1 terms.
  SparseRows fit(std::span<const std::string_view> texts);
  // Before fit: assertion. Terms that fit has not seen are passed over. May be called from several threads.
  SparseRows transform(std::span<const std::string_view> texts) const;

  std::int64_t terms() const;
  std::string term(std::int64_t column) const;  // "paid", "not paid"
  std::span<const double> idf() const;          // (terms)

 private:
  struct Vocabulary;
  TfidfSettings settings_;
  std::unique_ptr<Vocabulary> vocabulary_;
};

struct NearRow {
  std::int64_t row = 0;
  double cosine = 0;  // above 0
};

// Fitted rows by column, so that a query touches only the rows that share a term with it. Rows and query have length 1.
class NearestRows {
 public:
  explicit NearestRows(const SparseRows& rows);
  // The closest `count` rows, best first, equal ones by row; fewer where fewer share a term. `except`: a row that must not come.
  std::vector<NearRow> nearest(const SparseRow& query, std::int64_t count, std::int64_t except = -1) const;

 private:
  SparseRows by_column_;
  std::int64_t rows_;
};

}  // namespace deskhand
