// The way from tickets to their rewriting: asked once, kept, checked; stopped and gone on with.
#include "deskhand/triage/rewrite_tickets.h"

#include <doctest/doctest.h>

#include "deskhand/base/error.h"
#include "tests/temporary_folder.h"

using namespace deskhand;

namespace {

class ScriptedWriter final : public RewriteModel {
 public:
  std::vector<Expected<std::string, std::string>> rewrite(std::span<const RewriteTask> tasks) override {
    std::vector<Expected<std::string, std::string>> written;
    for (const auto& task : tasks) {
      if (asked == stop_after) throw Error(ExitCode::kInterrupted, "interrupted");
      ++asked;
      if (task.source.find("invent") != std::string::npos)
        written.emplace_back("It fails with code 4711.");
      else if (task.source.find("silent") != std::string::npos)
        written.emplace_back(Unexpected{std::string("too long")});
      else
        written.emplace_back(task.kind == RewriteKind::kProblem ? "Problem: the printer jams." : "- the roller was cleaned.");
    }
    return written;
  }
  std::string id() const override { return name; }
  int asked = 0, stop_after = -1;
  std::string name = "scripted";
};

std::string long_text(const std::string& begin) {
  return begin + " and so on with many more words that say what happened at the printer in the hall";
}

std::vector<Ticket> some_tickets() {
  std::vector<Ticket> tickets;
  for (int i = 0; i < 6; ++i)
    tickets.push_back({.id = std::to_string(i),
                       .problem = "p",
                       .query = long_text(fmt::format("it jams, case {}", i)),
                       .resolution = long_text("cleaned")});
  tickets[1].query = long_text("please invent");
  tickets[2].query = long_text("be silent");
  tickets[3].query = "it jams";
  return tickets;
}

}  // namespace

TEST_CASE("tickets are rewritten once: what is kept, what failed its check, what is short enough") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  ScriptedWriter model;
  CHECK_THROWS_AS(rewrite_tickets(database, &model, {.quiet = true}), Error);
  TicketStore store(database);
  store.upsert(some_tickets());
  const auto first = rewrite_tickets(database, &model, {.batch = 4, .quiet = true});
  CHECK(first.tickets == 6);
  CHECK(first.texts == 11);
  CHECK(first.short_enough == 1);
  CHECK(first.rewritten == 9);
  CHECK(first.faults[static_cast<std::size_t>(RewriteFault::kInvention)] == 1);
  CHECK(first.faults[static_cast<std::size_t>(RewriteFault::kNoAnswer)] == 1);
  CHECK(first.text().find("2 texts stay as they were cleaned: no answer 1, invention 1") != std::string::npos);
  CHECK(store.find("0")->clean_problem == "the printer jams.");
  CHECK(store.find("0")->resolution_summary == "the roller was cleaned.");
  CHECK(problem_text(*store.find("1")) == long_text("please invent"));
  CHECK(problem_text(*store.find("3")) == "it jams");

  const int asked = model.asked;
  const auto second = rewrite_tickets(database, &model, {.quiet = true});
  CHECK(model.asked == asked + 1);  // the one that had no answer
  CHECK(second.rewritten == 9);
  CHECK(second.faults[static_cast<std::size_t>(RewriteFault::kInvention)] == 1);

  model.name = "another";
  CHECK(rewrite_tickets(database, &model, {.limit = 2, .quiet = true}).asked == 4);
}

TEST_CASE("a rewriting that was stopped goes on behind its last batch") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  auto tickets = some_tickets();
  for (int i = 0; i < 6; ++i) tickets[static_cast<std::size_t>(i)].resolution = long_text(fmt::format("cleaned, case {}", i));
  TicketStore(database).upsert(tickets);
  ScriptedWriter model;
  model.stop_after = 5;
  CHECK_THROWS_AS(rewrite_tickets(database, &model, {.batch = 2, .quiet = true}), Error);
  CHECK(TicketStore(database).find("0")->clean_problem == "the printer jams.");
  model.stop_after = -1;
  const auto report = rewrite_tickets(database, &model, {.batch = 2, .quiet = true});
  CHECK(report.from_cache >= 3);
  CHECK(report.rewritten == 9);
}

TEST_CASE("without a model the texts' own sentences stand, and a model's take their place later") {
  const TemporaryFolder folder;
  auto database = open_desk_database(folder.path() / "desk.db", Database::Mode::kCreate);
  TicketStore store(database);
  store.upsert(some_tickets());
  const auto report = rewrite_tickets(database, nullptr, {.quiet = true});
  CHECK(report.rewritten == 11);
  CHECK(report.asked == 0);
  CHECK(store.find("0")->clean_problem == store.find("0")->query);
  ScriptedWriter model;
  rewrite_tickets(database, &model, {.quiet = true});
  CHECK(store.find("0")->clean_problem == "the printer jams.");
}
