#include "deskhand/app/fitted_weights.h"

#include <doctest/doctest.h>

#include <vector>

#include "deskhand/retrieve/case_store.h"
#include "deskhand/triage/index_cases.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

Ticket ticket(const std::string& id, const std::string& problem) {
  return {.id = id, .problem = problem, .urgency = 3, .category = "Printing", .resolution = "Restarted the spooler."};
}

std::string hash_of(const std::vector<Ticket>& cases, const std::vector<Ticket>& fitted_on, const std::string& model = "m",
                    std::int64_t shown = 3, float floor = 0) {
  const TemporaryFolder folder;
  Database database(folder.path() / "cases.db", Database::Mode::kCreate);
  std::vector<Case> made;
  for (const Ticket& one : cases) made.push_back(case_of(one));
  CaseStore(database).upsert(made);
  RetrieverSettings retrieval;
  retrieval.floor = floor;
  const DeskSettings desk;
  return fitting_hash(database, {.desk = desk, .retrieval = retrieval, .model_hash = model, .shown_cases = shown, .tickets = fitted_on});
}

}  // namespace

TEST_CASE("fitted label weights are those of the same tickets, cases, model and settings, of nothing else") {
  const Ticket a = ticket("1", "the printer is silent"), b = ticket("2", "no invoice comes out");
  const std::string hash = hash_of({a, b}, {a});
  CHECK(hash_of({a, b}, {a}) == hash);
  CHECK(hash_of({b, a}, {a, ticket("3", "")}) == hash);  // the order of cases says nothing, nor does a ticket without a problem
  CHECK(hash_of({a}, {a}) != hash);
  CHECK(hash_of({a, ticket("2", "no invoice comes out today")}, {a}) != hash);
  CHECK(hash_of({a, b}, {b}) != hash);
  CHECK(hash_of({a, b}, {a}, "another") != hash);
  CHECK(hash_of({a, b}, {a}, "m", 2) != hash);
  CHECK(hash_of({a, b}, {a}, "m", 3, .5f) != hash);
  Ticket urgent = a;
  urgent.urgency = 1;
  CHECK(hash_of({a, b}, {urgent}) != hash);
}

TEST_CASE("an evaluation takes the weights that index fitted under its own conditions alone") {
  const TemporaryFolder folder;
  Database desk(folder.path() / "desk.db", Database::Mode::kCreate);
  CHECK(weights_of_index(desk, "h").empty());
  Confidence confidence;
  keep_weights_of_index(desk, "h", confidence);
  CHECK(weights_of_index(desk, "h") == write_confidence(confidence));
  CHECK(weights_of_index(desk, "other").empty());
}
