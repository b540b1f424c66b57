#include "deskhand/triage/triager.h"

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "deskhand/base/error.h"
#include "deskhand/triage/index_cases.h"
#include "tests/temporary_folder.h"

namespace deskhand {
namespace {

// A vector a topic: how often its word stands in the text.
class WordEmbedder final : public TextEmbedder {
 public:
  std::int64_t width() const override { return static_cast<std::int64_t>(kTopics.size()) + 1; }
  std::vector<float> embed(std::span<const std::string> texts) override {
    std::vector<float> all;
    calls += static_cast<std::int64_t>(texts.size());
    for (const std::string& text : texts) {
      std::vector<float> one(kTopics.size() + 1, 0.0f);
      one.back() = 0.3f;
      for (std::size_t t = 0; t < kTopics.size(); ++t) one[t] = text.find(kTopics[t]) != std::string::npos ? 1.0f : 0.0f;
      one[0] += 0.02f * static_cast<float>(text.size() % 7);  // no two texts are quite the same
      double norm = 0;
      for (const float value : one) norm += value * value;
      for (const float value : one) all.push_back(value / static_cast<float>(std::sqrt(norm)));
    }
    return all;
  }
  std::int64_t calls = 0;
  inline static const std::vector<std::string> kTopics = {"invoice", "printer", "password", "stock"};
};

// Says what the script says; remembers what it was asked.
class ScriptedModel final : public AnswerModel {
 public:
  std::vector<Expected<ModelAnswer, std::string>> answer(std::span<const Question> questions) override {
    std::vector<Expected<ModelAnswer, std::string>> answers;
    for (const Question& question : questions) {
      asked.push_back(question);
      if (throws) throw Error(*throws, "the model is out of order");
      if (!fault.empty()) {
        answers.emplace_back(Unexpected{fault});
        continue;
      }
      ModelAnswer answer{.urgency = urgency, .category = category};
      told_urgency = question.decide(LabelKind::kUrgency, answer.urgency);
      told_category = question.decide(LabelKind::kCategory, answer.category);
      if (!question.labels_only) answer.resolution = resolution;
      answers.emplace_back(answer);
    }
    return answers;
  }
  std::vector<double> urgency = {0.1, 0.6, 0.1, 0.1, 0.1}, category = {0.25, 0.25, 0.25, 0.25};
  std::string resolution = "Cleared the printer queue in DOC040 and restarted it.", fault;
  std::optional<ExitCode> throws;
  std::vector<Question> asked;
  std::size_t told_urgency = 9, told_category = 9;
};

Ticket ticket(std::string id, std::string problem, std::string solution, int urgency, std::string category) {
  return {.id = std::move(id),
          .problem = std::move(problem),
          .urgency = urgency,
          .category = std::move(category),
          .solution = std::move(solution)};
}

std::vector<Ticket> desk_tickets() {
  std::vector<Ticket> tickets;
  for (int i = 0; i < 8; ++i) {
    const std::string n = std::to_string(i);
    tickets.push_back(ticket("I" + n, "The invoice run stops at customer number " + n, "Ended the session in SYS040.", 2, "Sales"));
    tickets.push_back(
        ticket("P" + n, "The printer in office " + n + " prints blank pages", "Cleared the printer queue in DOC040.", 3, "Printing"));
    tickets.push_back(ticket("W" + n, "A password of user " + n + " has expired", "Reset it in SYS010.", 4, "Access"));
    tickets.push_back(ticket("S" + n, "Wrong stock figure for item " + n + std::string(static_cast<std::size_t>(i), '!'),
                             "Counted in STK240.", 3, "Stock"));
  }
  return tickets;
}

// A desk in a folder of its own with everything a triager needs.
struct Desk {
  explicit Desk(bool with_vectors = true, float floor = 0)
      : database(open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate)) {
    TicketStore(database).upsert(desk_tickets());
    index_cases(database, with_vectors ? &embedder : nullptr, kEncoder, {.quiet = true});
    CaseStore cases(database);
    confidence = confidence_of_cases(cases);
    RetrieverSettings settings;
    settings.floor = floor;
    if (with_vectors) settings.encoder = kEncoder;
    retriever = std::make_unique<Retriever>(database, settings, pool);
  }
  Triager triager(TriageSettings settings = {}, bool with_model = true, bool with_embedder = true) {
    return Triager({*retriever, with_embedder ? &embedder : nullptr, with_model ? &model : nullptr, confidence}, settings);
  }

  inline static const EncoderId kEncoder = {"words", "hash"};
  TemporaryFolder folder;
  ThreadPool pool{1};
  Database database;
  WordEmbedder embedder;
  ScriptedModel model;
  Confidence confidence;
  std::unique_ptr<Retriever> retriever;
};

bool warns(const Decision& decision, std::string_view of) {
  for (const std::string& warning : decision.warnings)
    if (warning.find(of) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a ticket is cleaned, its cases found and shown, its labels decided by model and cases together") {
  Desk desk;
  const Decision decision = desk.triager().triage("Hi all,\n\nour printer prints nothing but blanks\n\nKind regards\n[REDACTED_NAME]");
  REQUIRE(desk.model.asked.size() == 1);
  CHECK(desk.model.asked[0].query == "our printer prints nothing but blanks");
  CHECK(desk.model.asked[0].cases.size() == 3);
  CHECK(decision.category == "Printing");  // the model had no opinion
  CHECK(desk.confidence.category.labels[desk.model.told_category] == "Printing");
  CHECK(decision.urgency == static_cast<int>(desk.model.told_urgency) + 1);
  CHECK(decision.resolution == desk.model.resolution);
  CHECK(decision.resolution_source == ResolutionSource::kModel);
  CHECK(decision.support.at(0).case_number > 0);
  CHECK(decision.cases.size() == 3);
  CHECK(decision.cases[0].is_shown);
  CHECK(decision.avg_similarity > 0.8);
  CHECK(decision.query.starts_with("Hi all"));
  CHECK(decision.warnings.empty());
  double sum = 0;
  for (const auto& label : decision.categories) sum += label.probability;
  CHECK(sum == doctest::Approx(1));
  CHECK(decision.categories[0].probability == decision.category_confidence);
}

TEST_CASE("the witness that is asked for decides: the model alone, or the cases alone") {
  Desk desk;
  desk.model.category = {0.97, 0.01, 0.01, 0.01};  // "Access"
  CHECK(desk.triager({.witness = Witness::kModel}).triage("printer prints blanks").category == "Access");
  CHECK(desk.triager({.witness = Witness::kVotes}).triage("printer prints blanks").category == "Printing");
}

TEST_CASE("without a model votes decide and the best case's resolution stands") {
  Desk desk;
  const Decision decision = desk.triager({}, false).triage("invoice run stops");
  CHECK(decision.category == "Sales");
  CHECK(decision.urgency == 2);
  CHECK(decision.resolution == "Ended the session in SYS040.");
  CHECK(decision.resolution_source == ResolutionSource::kCase);
  CHECK_FALSE(decision.cases[0].is_shown);
  CHECK(decision.warnings.empty());
}

TEST_CASE("without an encoder words find the cases and votes still decide") {
  Desk desk(false);
  const Decision decision = desk.triager({}, false, false).triage("password expired");
  CHECK(decision.category == "Access");
  CHECK(decision.category_confidence > 0.5);
}

TEST_CASE("a model that fails, or throws, leaves the cases to decide and says why; Ctrl-C is passed on") {
  Desk desk;
  desk.model.fault = "out of memory";
  const Decision failed = desk.triager().triage("stock is wrong");
  CHECK(failed.category == "Stock");
  CHECK(failed.resolution_source == ResolutionSource::kCase);
  CHECK(warns(failed, "out of memory"));
  CHECK(failed.model_failed);
  desk.model.throws = ExitCode::kTooLarge;
  CHECK(warns(desk.triager().triage("stock is wrong"), "out of order"));
  desk.model.throws = ExitCode::kInterrupted;
  CHECK_THROWS_AS(desk.triager().triage("stock is wrong"), Error);
}

TEST_CASE("without a precedent no case is shown, and the decision says so") {
  Desk desk(true, 0.9f);
  desk.model.resolution = "Water the plants.";
  const Decision decision = desk.triager().triage("zzz");
  CHECK(decision.no_precedent);
  CHECK(decision.cases.empty());
  CHECK(desk.model.asked.at(0).cases.empty());
  CHECK(warns(decision, "No past case is like this ticket"));
  CHECK(warns(decision, "model's own suggestion"));
  const Decision alone = desk.triager({}, false).triage("zzz");
  CHECK(alone.resolution.empty());
  CHECK(alone.resolution_source == ResolutionSource::kNone);
}

TEST_CASE("a resolution that no past case supports gives way to the best case's own") {
  Desk desk;
  desk.model.resolution = "Water the plants and call your aunt.";
  const Decision decision = desk.triager().triage("Since today the printer in our office prints blank pages");
  CHECK(decision.resolution == "Cleared the printer queue in DOC040.");
  CHECK(decision.resolution_source == ResolutionSource::kCase);
  CHECK(warns(decision, "No past case supports what the model wrote"));
}

TEST_CASE("a model that only says the ticket over again is overruled by the best case's resolution") {
  Desk desk;
  desk.model.resolution = "The printer in the office prints blank pages.";
  const Decision decision = desk.triager().triage("Since today the printer in our office prints blank pages");
  CHECK(decision.resolution == "Cleared the printer queue in DOC040.");
  CHECK(decision.resolution_source == ResolutionSource::kCase);
  CHECK(warns(decision, "only repeated the ticket"));
  desk.model.resolution = "Clear the printer queue in DOC040 first.";
  CHECK(desk.triager().triage("The printer in our office prints blank pages").resolution_source == ResolutionSource::kModel);
}

TEST_CASE("many tickets come back in order, in batches, and one without text says so") {
  Desk desk;
  const std::vector<std::string> queries = {"printer blank", " \n ", "password expired", "invoice run", "stock wrong"};
  std::vector<std::string> categories;
  desk.triager({.batch = 2}).triage(queries, [&](std::size_t i, const Decision& decision) {
    CHECK(i == categories.size());
    CHECK(decision.query == queries[i]);
    categories.push_back(decision.category);
    CHECK(decision.warnings.size() == (i == 1 ? 1 : decision.warnings.size()));
  });
  CHECK(categories == std::vector<std::string>{"Printing", "", "Access", "Sales", "Stock"});
  CHECK_THROWS_AS(desk.triager().triage(" "), Error);
}

TEST_CASE("fitting leaves a ticket's own case out, asks for labels alone, and hears a useless model less") {
  Desk desk;
  desk.model.category = {0.97, 0.01, 0.01, 0.01};
  std::vector<Ticket> held_out = desk_tickets();
  held_out.push_back(ticket("X", "", "", 3, "Sales"));
  held_out.push_back(ticket("Y", "printer", "", 0, "Unheard of"));
  const Triager triager = desk.triager({.near_copy = 1.01f});
  const auto heard = triager.hear(held_out);
  CHECK(heard.size() == held_out.size() - 1);  // one has no text
  const Confidence fitted = triager.fit_confidence(heard);
  for (const Question& question : desk.model.asked) {
    CHECK(question.labels_only);
    for (const Case& shown : question.cases) CHECK(shown.problem != question.query);
  }
  CHECK(fitted.category.examples == 32);
  CHECK(fitted.urgency.examples == 32);
  CHECK(fitted.category.weights[0].model < default_weights(Witness::kFused).model);
  CHECK(fitted.category.after[0].log_loss < fitted.category.before[0].log_loss);
  CHECK(fitted.category.after[2].accuracy > 0.9);
}

TEST_CASE("indexing goes on where it stopped, follows changes and never takes a ticket kept for testing") {
  Desk desk;
  CHECK(desk.embedder.calls == 32);
  CHECK(index_cases(desk.database, &desk.embedder, Desk::kEncoder, {.quiet = true}).embedded == 0);
  CHECK(desk.embedder.calls == 32);
  TicketStore tickets(desk.database);
  const std::vector<Ticket> changed = {ticket("I0", "The invoice run stops elsewhere", "Other.", 2, "Sales"),
                                       ticket("E", "", "Nothing said.", 3, "Sales")};
  tickets.upsert(changed);
  IndexReport report = index_cases(desk.database, &desk.embedder, Desk::kEncoder, {.chunk = 5, .quiet = true});
  CHECK(report.changed == 1);
  CHECK(report.embedded == 1);
  CHECK(report.without_problem == 1);
  const std::vector<std::string> train = {"I0", "I1"}, test = {"P0"};
  tickets.set_split(train, test, "by hand");
  report = index_cases(desk.database, &desk.embedder, Desk::kEncoder, {.quiet = true});
  CHECK(report.removed == 1);
  CHECK_FALSE(CaseStore(desk.database).find("P0").has_value());
  const std::vector<Ticket> later = {ticket("N", "A ticket that came after the split", "Done.", 3, "Sales")};
  tickets.upsert(later);
  CHECK(index_cases(desk.database, &desk.embedder, Desk::kEncoder, {.quiet = true}).changed == 1);
  CHECK(CaseStore(desk.database).find("N").has_value());
}

TEST_CASE("the desk's labels come from its cases, and a desk without any is told what to do") {
  TemporaryFolder folder;
  Database database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  CaseStore cases(database);
  CHECK_THROWS_WITH_AS(confidence_of_cases(cases), doctest::Contains("deskhand index"), Error);
  CHECK_THROWS_AS(index_cases(database, nullptr, {}, {.quiet = true}), Error);
  const std::vector<Case> two = {{.ticket_id = "1", .problem = "p", .urgency = 2, .category = "B"},
                                 {.ticket_id = "2", .problem = "q", .category = "A"}};
  cases.upsert(two);
  const Confidence confidence = confidence_of_cases(cases);
  CHECK(confidence.category.labels == std::vector<std::string>{"A", "B"});
  CHECK(confidence.urgency.labels.size() == 5);
  CHECK(confidence.urgency.prior[1] == doctest::Approx(2.0 / 6));
}

}  // namespace deskhand
