#include "deskhand/retrieve/case_store.h"

#include <doctest/doctest.h>

#include <limits>

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/retrieve/lexical_index.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

struct Desk {
  TemporaryFolder folder;
  Database database{folder.path() / "desk.db", Database::Mode::kCreate};
  CaseStore store{database};
};

const EncoderId kMini{"mini", "h1"};

std::vector<Case> three() {
  return {{"T2", "Invoice run hangs", "Ended the session", 2, "Sales"},
          {"T1", "Cannot print labels", "Restarted the queue", 3, "Printing"},
          {"T3", "Stock is wrong", "Counted again", 4, "Stock"}};
}

std::vector<std::string> ids(const std::vector<Case>& cases) {
  std::vector<std::string> found;
  for (const Case& item : cases) found.push_back(item.ticket_id);
  return found;
}

}  // namespace

TEST_CASE("what was stored is found again, in the order of ticket ids") {
  Desk desk;
  CHECK(desk.store.upsert(three()) == 3);
  std::vector<Case> all;
  desk.store.each([&](const Case& item) { all.push_back(item); });
  CHECK(ids(all) == std::vector<std::string>{"T1", "T2", "T3"});
  CHECK(all[0].problem == "Cannot print labels");
  CHECK(all[0].urgency == 3);
  CHECK(all[0].content_hash.size() == 64);
  CHECK(desk.store.find("T3")->resolution == "Counted again");
  CHECK(!desk.store.find("T4"));
}

TEST_CASE("an unchanged case is not written again, and a changed one keeps its place") {
  Desk desk;
  auto cases = three();
  desk.store.upsert(cases);
  CHECK(desk.store.upsert(cases) == 0);
  cases[1].urgency = 1;
  CHECK(desk.store.upsert(cases) == 1);
  CHECK(desk.store.count() == 3);
  CHECK(desk.store.find("T1")->urgency == 1);
}

TEST_CASE("a bad case among good ones stores none of them") {
  Desk desk;
  auto cases = three();
  cases[2].urgency = 6;
  CHECK_THROWS_WITH_AS(desk.store.upsert(cases), doctest::Contains("T3: urgency 6"), Error);
  cases[2] = {};
  CHECK_THROWS_WITH_AS(desk.store.upsert(cases), doctest::Contains("no ticket id"), Error);
  CHECK(desk.store.count() == 0);
}

TEST_CASE("embedding goes on where it stopped, and other encoders' vectors are not mixed in") {
  Desk desk;
  desk.store.upsert(three());
  auto missing = desk.store.without_vector(kMini, 2);
  CHECK(ids(missing) == std::vector<std::string>{"T1", "T2"});
  CHECK(desk.store.put_vectors(kMini, missing, std::vector<float>{1, 2, 3, 4}) == 2);
  CHECK(ids(desk.store.without_vector(kMini, 10)) == std::vector<std::string>{"T3"});
  CHECK(ids(desk.store.without_vector(kMini, 10, "T3")).empty());
  CHECK(desk.store.count_without_vector(kMini) == 1);
  CHECK(desk.store.count_without_vector({"mini", "h2"}) == 3);
  const auto vectors = desk.store.load_vectors(kMini);
  CHECK(vectors.count == 2);
  CHECK(vectors.width == 2);
  CHECK(vectors.ticket_ids == std::vector<std::string>{"T1", "T2"});
  CHECK(vectors.matrix == std::vector<float>{1, 2, 3, 4});
  CHECK(desk.store.load_vectors({"mini", "h2"}).count == 0);
  CHECK(desk.store.encoders().size() == 1);
  CHECK(desk.store.drop_vectors(kMini) == 2);
  CHECK(desk.store.encoders().empty());
}

TEST_CASE("a new problem text loses its vector, a new urgency keeps it") {
  Desk desk;
  auto cases = three();
  desk.store.upsert(cases);
  desk.store.put_vectors(kMini, desk.store.without_vector(kMini, 3), std::vector<float>(6, 1.f));
  cases[0].urgency = 5;
  cases[1].problem += " again";
  CHECK(desk.store.upsert(cases) == 2);
  CHECK(ids(desk.store.without_vector(kMini, 10)) == std::vector<std::string>{"T1"});
}

TEST_CASE("a vector made from an older text of a case is not stored") {
  Desk desk;
  auto cases = three();
  desk.store.upsert(cases);
  const auto read = desk.store.without_vector(kMini, 1);  // T1
  cases[1].problem = "something else";
  desk.store.upsert(cases);
  CHECK(desk.store.put_vectors(kMini, read, std::vector<float>{1, 2}) == 0);
  CHECK(desk.store.load_vectors(kMini).count == 0);
}

TEST_CASE("vectors that are not finite or of another width are refused by name") {
  Desk desk;
  desk.store.upsert(three());
  const auto cases = desk.store.without_vector(kMini, 3);
  CHECK_THROWS_WITH_AS(desk.store.put_vectors(kMini, cases, std::vector<float>{1, 2, 3, std::numeric_limits<float>::quiet_NaN(), 5, 6}),
                       doctest::Contains("case T2"), Error);
  CHECK_THROWS_AS(desk.store.put_vectors(kMini, cases, std::vector<float>(7)), Error);
  desk.store.put_vectors(kMini, std::span(cases).first(1), std::vector<float>{1, 2});
  CHECK_THROWS_WITH_AS(desk.store.put_vectors(kMini, std::span(cases).last(1), std::vector<float>{1, 2, 3}), doctest::Contains("width 3"),
                       Error);
  desk.database.execute("INSERT INTO case_vectors SELECT id, 'mini', 'h1', x'0102' FROM cases WHERE ticket_id = 'T3'");
  CHECK_THROWS_WITH_AS(desk.store.load_vectors(kMini), doctest::Contains("case T3 has 2 bytes"), Error);
}

TEST_CASE("a removed case is gone from words and vectors too") {
  Desk desk;
  desk.store.upsert(three());
  desk.store.put_vectors(kMini, desk.store.without_vector(kMini, 3), std::vector<float>(6, 1.f));
  CHECK(search_words(desk.database, "labels", 5).size() == 1);
  CHECK(desk.store.remove(std::vector<std::string>{"T1", "T9"}) == 1);
  CHECK(search_words(desk.database, "labels", 5).empty());
  CHECK(desk.store.load_vectors(kMini).ticket_ids == std::vector<std::string>{"T2", "T3"});
  CHECK(desk.store.keep_only(std::vector<std::string>{"T3"}) == 1);
  CHECK(desk.store.count() == 1);
  desk.database.execute("INSERT INTO case_words(case_words) VALUES('integrity-check')");  // throws if index and texts have parted
}

TEST_CASE("words of a text that went, by whichever way, are in no byte of the database") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "desk.db";
  Database database(path, Database::Mode::kCreate);
  CaseStore store(database);
  const auto holds = [&](std::string_view word) {
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return read_text_file(path).find(word) != std::string::npos;
  };
  std::vector<Case> cases;
  for (int i = 0; i < 200; ++i)
    cases.push_back({.ticket_id = std::to_string(i), .problem = "the printer of hall " + std::to_string(i) + " jams"});
  cases[7].problem = "zibbelquark";
  cases[8].problem = "quitzow";
  cases[9].problem = "zwentibold";
  store.upsert(cases);
  CHECK(holds("zibbelquark"));
  cases[7].problem = "changed";
  CHECK(store.upsert(cases) == 1);
  CHECK_FALSE(holds("zibbelquark"));
  CHECK(store.remove(std::vector<std::string>{"8"}) == 1);
  CHECK_FALSE(holds("quitzow"));
  std::vector<std::string> others;
  for (int i = 10; i < 200; ++i) others.push_back(std::to_string(i));
  CHECK(store.keep_only(others) == 9);
  CHECK_FALSE(holds("zwentibold"));
  CHECK(search_words(database, "printer", 500).size() == 190);
  database.execute("INSERT INTO case_words(case_words) VALUES('integrity-check')");
}

TEST_CASE("a read-only desk can be read, and one without cases says so") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "desk.db";
  { Database empty(path, Database::Mode::kCreate); }
  {
    Database readonly(path, Database::Mode::kReadOnly);
    CHECK_THROWS_AS(CaseStore{readonly}, Error);
  }
  {
    Database database(path, Database::Mode::kReadWrite);
    CaseStore(database).upsert(three());
    Database readonly(path, Database::Mode::kReadOnly);
    CHECK(CaseStore(readonly).count() == 3);
  }
}
