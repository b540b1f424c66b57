#include "deskhand/retrieve/lexical_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <random>

#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/retrieve/case_store.h"
#include "deskhand/retrieve/words.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

struct Desk {
  TemporaryFolder folder;
  Database database{folder.path() / "desk.db", Database::Mode::kCreate};
  CaseStore store{database};

  explicit Desk(const std::vector<std::string>& problems) {
    std::vector<Case> cases;
    for (std::size_t i = 0; i < problems.size(); ++i) cases.push_back({.ticket_id = fmt_id(i), .problem = problems[i]});
    store.upsert(cases);
  }
  static std::string fmt_id(std::size_t i) { return "T" + std::to_string(1000 + i); }
};

// Okapi BM25 as in lexical_index.h, over upper-case \w+ tokens, by plain loops.
double okapi(const std::vector<std::string>& texts, std::size_t document, const std::vector<std::string>& query) {
  const double k1 = 1.2, b = 0.75;
  std::vector<std::map<std::string, double>> counts(texts.size());
  std::vector<double> lengths(texts.size());
  double total = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string raised = upper(texts[i]);
    for (const auto word : words_of(raised)) ++counts[i][std::string(word)], ++lengths[i], ++total;
  }
  double score = 0;
  for (const auto& word : query) {
    double n = 0;
    for (const auto& count : counts) n += count.contains(word) ? 1 : 0;
    const double idf = std::log((static_cast<double>(texts.size()) - n + 0.5) / (n + 0.5));
    const auto at = counts[document].find(word);
    const double f = at == counts[document].end() ? 0 : at->second;
    score += idf * f * (k1 + 1) / (f + k1 * (1 - b + b * lengths[document] / (total / static_cast<double>(texts.size()))));
  }
  return score;
}

}  // namespace

TEST_CASE("scores are Okapi's, for every case found") {
  std::mt19937 random(7);
  std::vector<std::string> texts;
  for (int i = 0; i < 60; ++i) {
    std::string text;
    for (int words = 3 + static_cast<int>(random() % 20); words > 0; --words) text += "word" + std::to_string(random() % 40) + ", ";
    texts.push_back(text);
  }
  Desk desk(texts);
  const auto hits = search_words(desk.database, "word3 word7 word11 WORD3", 60);
  CHECK(hits.size() > 10);
  for (std::size_t i = 0; i < hits.size(); ++i) {
    const auto document = static_cast<std::size_t>(std::stoi(hits[i].ticket_id.substr(1)) - 1000);
    CHECK(hits[i].bm25 == doctest::Approx(okapi(texts, document, {"WORD3", "WORD7", "WORD11"})).epsilon(1e-9));
    if (i > 0) CHECK(hits[i - 1].bm25 >= hits[i].bm25);
  }
}

TEST_CASE("scores are those of rank-bm25's BM25Okapi, saved by tools/save_golden_retrieve.py") {
  const auto path = std::filesystem::path(DESKHAND_SOURCE_DIR) / "tests/golden/retrieve/bm25.json";
  const Json saved = parse_json(read_text_file(path), path.string());
  Desk desk(saved["texts"].get<std::vector<std::string>>());
  const auto common = words_of_most_cases(desk.database);
  for (const Json& at : saved["queries"]) {
    const auto query = at["query"].get<std::string>();
    CAPTURE(query);
    auto expected = at["scores"].get<std::vector<double>>();
    for (const auto& hit : search_words(desk.database, query, 1000, common)) {
      double& score = expected[static_cast<std::size_t>(std::stoi(hit.ticket_id.substr(1)) - 1000)];
      CHECK(hit.bm25 == doctest::Approx(score).epsilon(1e-6).scale(0));
      score = 0;
    }
    CHECK(std::all_of(expected.begin(), expected.end(), [](double score) { return score == 0; }));  // whatever is not found has no score
  }
}

TEST_CASE("words are found across case, accents and hyphens, and a code also where its hyphen is missing") {
  Desk desk({"Zürich café: log-in fails with CVN-1042", "printer jam", "paper tray", "toner low", "CVN 1042 seen"});
  CHECK(search_words(desk.database, "ZURICH", 5).size() == 1);
  CHECK(search_words(desk.database, "cafe\xCC\x81", 5).size() == 1);  // e and a combining accent
  CHECK(search_words(desk.database, "log in", 5).size() == 1);
  CHECK(search_words(desk.database, "cvn-1042", 5).size() == 2);
}

TEST_CASE("any text is a query: operators, quotes, NUL, broken UTF-8, a hundred kilobytes") {
  Desk desk({"order NEAR the line", "b", "c", "d", "NOT printed", "e", "f"});
  for (const std::string text :
       {"NEAR(order line, 2)", "\"order", "order*", "^order", "problem : order", "-order", "{order} + order", "(order",
        "'; DROP TABLE cases; --"
        " order"}) {
    CAPTURE(text);
    CHECK(search_words(desk.database, text, 9).size() >= 1);
  }
  CHECK(search_words(desk.database, "AND OR", 5).empty());
  CHECK(search_words(desk.database, "NOT", 5).size() == 1);
  CHECK(search_words(desk.database, std::string("x\0order\0y", 9), 5).size() == 1);
  CHECK(search_words(desk.database, "\xFF\xC3 order \xED\xA0\x80", 5).size() == 1);
  CHECK(search_words(desk.database, "", 5).empty());
  CHECK(search_words(desk.database, "?! \xE2\x80\x94 \"\"", 5).empty());
  std::string huge = "order ";
  for (int i = 0; huge.size() < 100000; ++i) huge += "w" + std::to_string(i) + " \" ) NEAR ";
  CHECK(search_words(desk.database, huge, 5).size() == 1);
  CHECK(search_words(desk.database, std::string(200000, 'x') + " order", 5).size() == 1);
  CHECK(search_words(desk.database, "order", 0).empty());
}

TEST_CASE("words of most cases are left out unless the query has no others") {
  Desk desk({"the printer", "the order", "the stock", "a lorry"});
  const auto common = words_of_most_cases(desk.database);
  CHECK(common == std::unordered_set<std::string>{"the"});
  CHECK(words_query("The printer", common) == "\"printer\"");
  CHECK(words_query("The THE", common) == "\"the\"");
}

TEST_CASE("ties stand in the order of ticket ids") {
  Desk desk({"same text", "same text", "other", "else", "more", "again"});
  const auto hits = search_words(desk.database, "text", 5);
  CHECK(hits[0].ticket_id == "T1000");
  CHECK(hits[1].ticket_id == "T1001");
}

TEST_CASE("words and tokens are Python's \\w+ and str.upper") {
  CHECK(upper_tokens("Straße user_id, it's 5½ straße") == std::vector<std::string>{"5\xC2\xBD", "IT", "S", "STRASSE", "USER_ID"});
  CHECK(upper_tokens("").empty());
  CHECK(valid_utf8("a\xFF"
                   "b") ==
        "a\xEF\xBF\xBD"
        "b");
  CHECK(fold_case("STRASSE") == fold_case("Straße"));
}
