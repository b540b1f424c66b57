#include "deskhand/classify/tf_idf.h"

#include <doctest/doctest.h>

#include <cmath>

#include "deskhand/base/error.h"
#include "deskhand/classify/golden_file.h"

namespace deskhand {
namespace {

TfidfSettings settings_of(const Json& golden) {
  return {.max_ngram = golden["max_ngram"], .sublinear_tf = golden["sublinear"], .min_df = golden["min_df"]};
}

void check_rows(const SparseRows& rows, const Json& golden) {
  REQUIRE(rows.count() == static_cast<std::int64_t>(golden.size()));
  for (std::int64_t r = 0; r < rows.count(); ++r) {
    const auto& wanted = golden[static_cast<std::size_t>(r)];
    const auto row = rows.row(r);
    CHECK(std::vector<int>(row.columns.begin(), row.columns.end()) == wanted["columns"].get<std::vector<int>>());
    for (std::size_t i = 0; i < std::min(row.values.size(), wanted["values"].size()); ++i)
      CHECK(std::abs(row.values[i] - wanted["values"][i].get<double>()) < 1e-6);
  }
}

}  // namespace

TEST_CASE("terms, idf and rows are scikit-learn's, in its order, to 1e-6") {
  const Json golden = classify_goldens();
  const Texts texts(golden["texts"]), asked(golden["asked"]);
  for (const auto& one : golden["cases"]) {
    TfidfVectorizer vectorizer(settings_of(one));
    const SparseRows train = vectorizer.fit(texts.views);
    REQUIRE(vectorizer.terms() == static_cast<std::int64_t>(one["terms"].size()));
    for (std::int64_t c = 0; c < vectorizer.terms(); ++c) {
      const auto i = static_cast<std::size_t>(c);
      CHECK(vectorizer.term(c) == one["terms"][i].get<std::string>());
      CHECK(std::abs(vectorizer.idf()[i] - one["idf"][i].get<double>()) < 1e-6);
    }
    check_rows(train, one["train"]);
    check_rows(vectorizer.transform(asked.views), one["test"]);
  }
}

TEST_CASE("the nearest rows are those of the highest cosine, and equal ones come in their order") {
  const Json golden = classify_goldens();
  const Texts texts(golden["texts"]), asked(golden["asked"]);
  for (const auto& one : golden["cases"]) {
    TfidfVectorizer vectorizer(settings_of(one));
    const SparseRows train = vectorizer.fit(texts.views), test = vectorizer.transform(asked.views);
    const NearestRows nearest(train);
    for (std::int64_t q = 0; q < test.count(); ++q) {
      const auto& wanted = one["nearest"][static_cast<std::size_t>(q)];
      const auto found = nearest.nearest(test.row(q), 5);
      REQUIRE(found.size() == wanted.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].row == wanted[i][0].get<std::int64_t>());
        CHECK(std::abs(found[i].cosine - wanted[i][1].get<double>()) < 1e-6);
      }
    }
    CHECK(nearest.nearest(train.row(0), 1).front().row == 0);
    CHECK(nearest.nearest(train.row(0), 1, 0).front().row != 0);
    CHECK(nearest.nearest(train.row(0), 0).empty());
  }
}

TEST_CASE("words have two characters at least, of any script, and bytes that are not UTF-8 separate them") {
  CHECK(tf_idf_words("I can't log-in, Straße_7!") == std::vector<std::string>{"can", "log", "in", "straße_7"});
  CHECK(tf_idf_words("ab\xff"
                     "cd\xf0\x9f ef") == std::vector<std::string>{"ab", "cd", "ef"});
  CHECK(tf_idf_words("") == std::vector<std::string>{});
  CHECK(tf_idf_words(std::string_view("ab\0cd", 5)) == std::vector<std::string>{"ab", "cd"});
}

TEST_CASE("texts without words have empty rows, and no texts at all are refused") {
  TfidfVectorizer vectorizer;
  const std::vector<std::string_view> empty = {"", "a b c", "!"};
  const SparseRows rows = vectorizer.fit(empty);
  CHECK(rows.count() == 3);
  CHECK(rows.width == 0);
  CHECK(rows.values.empty());
  CHECK(vectorizer.transform(std::vector<std::string_view>{"printer"}).count() == 1);
  CHECK(NearestRows(rows).nearest(rows.row(0), 3).empty());
  CHECK_THROWS_AS(vectorizer.fit({}), Error);
  CHECK_THROWS_AS(TfidfVectorizer({.max_ngram = 3}), Error);
  CHECK_THROWS_AS(TfidfVectorizer({.min_df = 0}), Error);
}

TEST_CASE("rows turned twice are the rows") {
  TfidfVectorizer vectorizer({.max_ngram = 2});
  const SparseRows rows = vectorizer.fit(std::vector<std::string_view>{"one two three", "", "two three four two"});
  const SparseRows again = transpose(transpose(rows));
  CHECK(again.begins == rows.begins);
  CHECK(again.columns == rows.columns);
  CHECK(again.values == rows.values);
  CHECK(again.width == rows.width);
}

}  // namespace deskhand
