#include "deskhand/app/fitted_weights.h"

#include <doctest/doctest.h>

#include <vector>

#include "deskhand/base/error.h"
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

// Right about every second ticket; Ctrl-C is pressed when it is asked about more than it was meant to be.
class InterruptedModel final : public AnswerModel {
 public:
  std::vector<Expected<ModelAnswer, std::string>> answer(std::span<const Question> questions) override {
    std::vector<Expected<ModelAnswer, std::string>> answers;
    for (const Question& question : questions) {
      if (static_cast<int>(asked.size()) == stop_after) throw Error(ExitCode::kInterrupted, "interrupted");
      ModelAnswer answer{.urgency = {.1, .1, .6, .1, .1}, .category = {.7, .3}};
      if (asked.size() % 2) answer.category = {.3, .7};
      question.decide(LabelKind::kUrgency, answer.urgency);
      question.decide(LabelKind::kCategory, answer.category);
      answers.emplace_back(answer);
      asked.push_back(question.query);
    }
    return answers;
  }
  int stop_after = -1;
  std::vector<std::string> asked;
};

}  // namespace

TEST_CASE("an interrupted fitting of label weights goes on where it stopped, to the same weights") {
  const TemporaryFolder folder;
  std::vector<Ticket> tickets;
  for (int i = 0; i < 10; ++i) {
    tickets.push_back(ticket(std::to_string(i), fmt::format("the printer of floor {} is silent since it was moved {}", i, i * i)));
    if (i % 3 == 0) tickets.back().category = "Access";
  }
  std::vector<Case> made;
  for (const Ticket& one : tickets) made.push_back(case_of(one));
  const auto fit = [&](Database& database, InterruptedModel& model, const std::string& hash) {
    ThreadPool pool(1);
    CaseStore cases(database);
    cases.upsert(made);
    const Retriever retriever(database, {}, pool);
    return write_confidence(
        fit_in_parts(database, hash, Triager({retriever, nullptr, &model, confidence_of_cases(cases)}), tickets, true));
  };
  Database through(folder.path() / "through.db", Database::Mode::kCreate), cut(folder.path() / "cut.db", Database::Mode::kCreate);
  InterruptedModel once, again;
  const std::string weights = fit(through, once, "h");
  CHECK(once.asked.size() == 10);
  again.stop_after = 6;  // in the second batch
  CHECK_THROWS_AS(fit(cut, again, "h"), Error);
  again.stop_after = -1;
  again.asked.resize(4);  // what the batch that was lost had been told
  CHECK(fit(cut, again, "h") == weights);
  CHECK(again.asked == once.asked);
  again.asked.clear();
  CHECK(fit(cut, again, "h") == weights);
  CHECK(again.asked.size() == 10);  // what is fitted is not taken for what was interrupted

  again.asked.clear();
  again.stop_after = 6;
  CHECK_THROWS_AS(fit(cut, again, "h"), Error);
  again.stop_after = -1;
  again.asked.clear();
  CHECK(fit(cut, again, "other conditions") == weights);
  CHECK(again.asked.size() == 10);
}

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
