#include "deskhand/retrieve/retriever.h"

#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>

#include "deskhand/base/error.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

const EncoderId kToy{"toy", "h"};

struct Desk {
  TemporaryFolder folder;
  Database database{folder.path() / "desk.db", Database::Mode::kCreate};
  CaseStore store{database};
  ThreadPool pool{2};

  void add(const std::string& id, const std::string& problem, std::vector<float> vector = {}) {
    store.upsert(
        std::vector<Case>{{.ticket_id = id, .problem = problem, .resolution = "resolution of " + id, .urgency = 3, .category = "Sales"}});
    if (!vector.empty()) store.put_vectors(kToy, std::vector<Case>{*store.find(id)}, vector);
  }
  Retriever retriever(RetrieverSettings settings = {}) {
    settings.encoder = kToy;
    return Retriever(database, settings, pool);
  }
};

std::vector<std::string> ids(const Precedents& found) {
  std::vector<std::string> list;
  for (const Hit& hit : found) list.push_back(hit.found.ticket_id);
  return list;
}
using Ids = std::vector<std::string>;

void fill(Desk& desk) {
  desk.add("T1", "Order locked by another user, CVN-1042", {1, 0, 0});
  desk.add("T2", "Order locked by another user, CVN-1043", {.99f, .1f, 0});
  desk.add("T3", "Printer prints blank labels", {0, 1, 0});
  desk.add("T4", "Stock count differs in warehouse", {0, 0, 1});
  desk.add("T5", "VAT return refused by the gateway", {0, .6f, .8f});
  desk.add("T6", "Screen SOP310 hangs at month end", {.1f, .1f, .9f});
}

}  // namespace

TEST_CASE("hits tell their case and every channel's score and rank") {
  Desk desk;
  fill(desk);
  const auto found = desk.retriever().similar("CVN-1042 order locked", std::vector<float>{2, 0, 0});
  CHECK(found.size() == 3);
  CHECK(found.best_cosine == doctest::Approx(1));
  const Hit& best = found.hits[0];
  CHECK(best.found.ticket_id == "T1");
  CHECK(best.found.resolution == "resolution of T1");
  CHECK(best.cosine == doctest::Approx(1));
  CHECK(best.bm25 > 0);
  CHECK(best.exact > 0);
  CHECK(best.ranks.dense == 1);
  CHECK(best.ranks.bm25 == 1);
  CHECK(best.ranks.exact == 1);
  CHECK(best.ranks.keyword == 0);
  CHECK(best.fused == doctest::Approx(3. / 61));
  CHECK(found.hits[1].found.ticket_id == "T2");
  CHECK(found.hits[1].exact == 0);
}

TEST_CASE("an error code finds its case where the vectors prefer the neighbour") {
  Desk desk;
  fill(desk);
  const std::vector<float> vector = {.99f, .1f, 0};  // exactly T2's
  CHECK(ids(desk.retriever({.method = RetrievalMethod::kDense}).similar("cvn-1042", vector))[0] == "T2");
  CHECK(ids(desk.retriever().similar("cvn-1042", vector))[0] == "T1");
}

TEST_CASE("cases left out are never found and shift nobody's rank") {
  Desk desk;
  fill(desk);
  const std::vector<float> vector = {1, 0, 0};
  const Ids out = {"T1", "unknown"};
  for (const auto method :
       {RetrievalMethod::kRrf, RetrievalMethod::kSeed, RetrievalMethod::kSeedUnmended, RetrievalMethod::kDense, RetrievalMethod::kBm25}) {
    CAPTURE(name_of(method));
    const auto found =
        desk.retriever({.method = method, .keywords = "CVN-"}).similar("order locked CVN-1042", vector, {.count = 10, .leave_out = out});
    CHECK(found.hits[0].found.ticket_id == "T2");
    CHECK(found.hits[0].ranks.dense == 1);
    for (const Hit& hit : found) CHECK(hit.found.ticket_id != "T1");
  }
}

TEST_CASE("below the floor there is no precedent and the best similarity is told, unless an error code is shared") {
  Desk desk;
  fill(desk);
  const auto retriever = desk.retriever({.floor = .95f});
  const std::vector<float> far = {.5f, .5f, .5f};
  auto found = retriever.similar("printer", far);
  CHECK(found.empty());
  CHECK(found.below_floor);
  CHECK(found.best_cosine > .8f);
  CHECK(found.best_cosine < .95f);
  CHECK(retriever.similar("screen SOP310", far).empty());
  CHECK(!retriever.similar("CVN-1043", far).empty());
  CHECK(retriever.similar("CVN-1043", far, {.leave_out = Ids{"T2"}}).empty());
  CHECK(!retriever.similar("anything", std::vector<float>{0, 0, 1}).empty());
}

TEST_CASE("the seed's fault shows: unmended, a case full of keywords wins; mended, the query decides") {
  Desk desk;
  desk.add("T1", "alpha beta gamma delta", {1, .02f});
  desk.add("T2", "plain words with omega", {1, 0});
  const std::string keywords = "alpha\nbeta\ngamma\ndelta\nomega";
  const std::vector<float> vector = {1, 0};
  CHECK(ids(desk.retriever({.method = RetrievalMethod::kSeedUnmended, .keywords = keywords}).similar("omega", vector)) == Ids{"T1", "T2"});
  const auto mended = desk.retriever({.method = RetrievalMethod::kSeed, .keywords = keywords}).similar("omega", vector);
  CHECK(ids(mended) == Ids{"T2", "T1"});
  CHECK(mended.hits[0].fused == doctest::Approx(1));
  CHECK(mended.hits[0].keyword == 1);
  CHECK(mended.hits[1].keyword == 0);
}

TEST_CASE("without a vector words and codes answer, methods that need one say so") {
  Desk desk;
  fill(desk);
  desk.add("T7", "Locked order, no vector yet");
  auto found = desk.retriever().similar("locked order", {});
  CHECK(found.size() == 3);
  CHECK(found.best_cosine == 0);
  CHECK(!found.below_floor);
  CHECK_THROWS_WITH_AS(desk.retriever({.method = RetrievalMethod::kDense}).similar("x", {}),
                       doctest::Contains("needs the problem's vector"), Error);
  CHECK_THROWS_WITH_AS(desk.retriever().similar("x", std::vector<float>{1, 2}), doctest::Contains("width 2"), Error);
  CHECK(desk.retriever().size() == 7);
  CHECK(desk.retriever().size_with_vector() == 6);
  CHECK(Retriever(desk.database, {}, desk.pool).similar("locked", std::vector<float>{1}).size() == 3);  // no encoder chosen
}

TEST_CASE("ties stand in the order of ticket ids") {
  Desk desk;
  for (const char* id : {"T9", "T10", "T2"}) desk.add(id, "the very same", {1, 1});
  desk.add("A", "other", {1, -1});
  for (const auto method : {RetrievalMethod::kRrf, RetrievalMethod::kDense, RetrievalMethod::kSeed})
    CHECK(ids(desk.retriever({.method = method}).similar("very same", std::vector<float>{1, 1})) == Ids{"T10", "T2", "T9"});
}

TEST_CASE("an empty desk answers with nothing, and a snapshot survives what is removed or added later") {
  Desk desk;
  CHECK(desk.retriever().similar("anything CVN-1042", {}).empty());
  fill(desk);
  const auto retriever = desk.retriever();
  desk.store.remove(Ids{"T1"});
  desk.add("T0", "Order locked by another user, CVN-1042", {1, 0, 0});
  const auto found = retriever.similar("order locked CVN-1042", std::vector<float>{1, 0, 0});
  CHECK(found.size() == 3);
  CHECK(found.hits[0].found.ticket_id == "T2");
}

TEST_CASE("methods have names, unknown ones and bad settings are refused") {
  CHECK(name_of(parse_retrieval_method("seed_unmended")) == "seed_unmended");
  CHECK_THROWS_WITH_AS(parse_retrieval_method("bm42"), doctest::Contains("bm42"), Error);
  Desk desk;
  CHECK_THROWS_AS(desk.retriever({.depth = 0}), Error);
  CHECK_THROWS_AS(desk.retriever({.identifier_patterns = {"("}}), Error);
}

TEST_CASE("fifty thousand cases: built, searched by several threads at once, every thread with the same answers") {
  constexpr std::int64_t kCount = 50000, kWidth = 32;
  Desk desk;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<Case> cases;
  std::vector<float> vectors;
  for (std::int64_t i = 0; i < kCount; ++i) {
    std::string problem =
        "ERR-" + std::to_string(100000 + i) + " on SOP" + std::to_string(100 + i % 50) + " in 2023." + std::to_string(1 + i % 4) + ":";
    for (int word = 0; word < 20; ++word)
      problem += " w" + std::to_string(static_cast<int>(10000 / (1 + random() % 10000)) + static_cast<int>(random() % 50));
    cases.push_back({"T" + std::to_string(100000 + i), std::move(problem), "done", static_cast<int>(1 + i % 5), "Category"});
    for (std::int64_t j = 0; j < kWidth; ++j) vectors.push_back(normal(random));
  }
  desk.store.upsert(cases);
  const auto stored = desk.store.without_vector(kToy, kCount);
  CHECK(desk.store.put_vectors(kToy, stored, vectors) == kCount);
  CHECK(desk.store.without_vector(kToy, 1).empty());
  const auto retriever = desk.retriever({.keywords = "SOP100\nSOP110\nSOP120"});
  CHECK(retriever.size_with_vector() == kCount);

  const auto ask = [&](std::int64_t i) {
    return ids(retriever.similar(cases[static_cast<std::size_t>(i)].problem,
                                 std::span(vectors).subspan(static_cast<std::size_t>(i * kWidth), kWidth)));
  };
  const std::vector<std::int64_t> queries = {0, 777, 25000, 49999};
  std::vector<Ids> expected;
  for (const auto i : queries) {
    expected.push_back(ask(i));
    CHECK(expected.back().size() == 3);
    CHECK(expected.back()[0] == cases[static_cast<std::size_t>(i)].ticket_id);
  }
  std::atomic<int> different = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread)
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < queries.size(); ++i)
        if (ask(queries[i]) != expected[i]) ++different;
    });
  for (auto& thread : threads) thread.join();
  CHECK(different == 0);
}
