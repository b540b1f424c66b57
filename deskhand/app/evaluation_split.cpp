#include "deskhand/app/evaluation_split.h"

#include <algorithm>
#include <set>

#include "deskhand/app/draw_split.h"
#include "deskhand/app/fill_cases.h"
#include "deskhand/base/error.h"
#include "deskhand/base/sha256.h"
#include "deskhand/tickets/date.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

struct Parts {
  std::vector<Ticket> train, test;
  std::string description;
};

Parts desk_parts(TicketStore& store, const fs::path& folder) {
  Parts parts{store.all(Part::kNotTest), store.all(Part::kTest), store.split_description()};
  if (parts.test.empty())
    throw Error(ExitCode::kNotFound, "the desk has no tickets kept for testing yet; run: deskhand --desk {} split", folder.string());
  return parts;
}

Parts drawn_parts(TicketStore& store, SplitSettings settings, const std::string& method, ThreadPool& pool) {
  for (const SplitMethod one : {SplitMethod::kRandom, SplitMethod::kGrouped, SplitMethod::kTime})
    if (name_of(one) == method) settings.method = one;
  settings.folds = 0;  // one split by the test's share, whatever the desk's own is
  const std::vector<Ticket> tickets = store.all();
  const Split split = draw_split(settings, tickets, pool);
  const auto pick = [&](const std::vector<std::int64_t>& rows) {
    std::vector<Ticket> picked;
    for (const auto row : rows) picked.push_back(tickets[static_cast<std::size_t>(row)]);
    return picked;
  };
  return {pick(split.train), pick(split.test), describe_split(settings)};
}

Leakage leakage_of(const EvaluationSplit& split, ThreadPool& pool) {
  constexpr std::size_t kExamples = 20;
  const NearCopySettings settings;
  auto found = leaks(problem_texts(split.train), problem_texts(split.test), pool, settings);
  Leakage leakage{.test = static_cast<std::int64_t>(split.test.size()),
                  .leaked = static_cast<std::int64_t>(found.size()),
                  .threshold = settings.threshold};
  std::stable_sort(found.begin(), found.end(), [](const Leak& a, const Leak& b) { return a.similarity > b.similarity; });
  for (std::size_t i = 0; i < std::min(found.size(), kExamples); ++i)
    leakage.examples.push_back({split.test[static_cast<std::size_t>(found[i].test)].id,
                                split.train[static_cast<std::size_t>(found[i].train)].id, found[i].similarity});
  return leakage;
}

void update(Sha256& hash, const Ticket& ticket) {
  for (const std::string& text :
       {ticket.id, problem_text(ticket), resolution_text(ticket), ticket.category, std::to_string(ticket.urgency)})
    hash.update(text + '\0');
}

std::string hash_of(std::initializer_list<const std::vector<Ticket>*> parts) {
  Sha256 hash;
  for (const auto* part : parts) {
    for (const Ticket& ticket : *part) update(hash, ticket);
    hash.update("|");
  }
  return hash.finish();
}

}  // namespace

std::string hash_of(const Ticket& ticket) {
  Sha256 hash;
  update(hash, ticket);
  return hash.finish();
}

HeldOutTicket held_out(const Ticket& ticket) {
  return {.id = ticket.id,
          .problem = problem_text(ticket),
          .urgency = ticket.urgency,
          .category = ticket.category,
          .resolution = resolution_text(ticket),
          .received = local_date(ticket.received)};
}

std::vector<float> EvaluationSplit::vectors_of(std::span<const Ticket> tickets, VectorCache* cache) const {
  if (!cache) return {};
  std::vector<std::string> problems;
  for (const Ticket& ticket : tickets) problems.push_back(problem_text(ticket));
  return cache->embed(problems);
}

EvaluationSplit make_evaluation_split(Desk& desk, const std::string& name, const EvaluationScope& scope, DeskEncoder* encoder,
                                      VectorCache* cache, ThreadPool& pool) {
  TicketStore store(desk.database);
  Parts parts = name == "desk" ? desk_parts(store, desk.folder) : drawn_parts(store, desk.settings.split, name, pool);
  const fs::path folder = desk.folder / "evaluations" / "cases";
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
  EvaluationSplit split{.name = name,
                        .description = parts.description,
                        .train = std::move(parts.train),
                        .test = std::move(parts.test),
                        .cases = Database(folder / (name + ".db"), Database::Mode::kCreate)};
  const AnswerSettings& answer = desk.settings.answer;
  for (Ticket& ticket : draw_tickets(split.train, answer.held_out + scope.validation, answer.seed))
    (static_cast<int>(split.fitting.size()) < answer.held_out ? split.fitting : split.validation).push_back(std::move(ticket));
  const auto drop_empty = [](std::vector<Ticket>& tickets) {
    return std::erase_if(tickets, [](const Ticket& ticket) { return problem_text(ticket).empty(); });
  };
  for (auto* part : {&split.train, &split.fitting, &split.validation}) drop_empty(*part);
  if (const auto dropped = drop_empty(split.test); dropped > 0)
    split.warnings.push_back(fmt::format("{} held-out tickets without a problem text were left out", dropped));
  if (scope.limit > 0 && scope.limit < static_cast<std::int64_t>(split.test.size())) {
    split.warnings.push_back(fmt::format("Measured on {} of {} held-out tickets, drawn at random.", scope.limit, split.test.size()));
    split.test = draw_tickets(split.test, scope.limit, desk.settings.evaluate.seed);
  }
  if (split.test.empty() || split.train.empty())
    throw Error(ExitCode::kBadInput,
                "the split '{}' has {} tickets to learn from and {} held out that have a problem text; wanted are both", name,
                split.train.size(), split.test.size());
  const auto by_id = [](const Ticket& a, const Ticket& b) { return a.id < b.id; };
  std::sort(split.train.begin(), split.train.end(), by_id);
  std::sort(split.test.begin(), split.test.end(), by_id);
  std::set<std::string> categories;
  for (const Ticket& ticket : split.train)
    if (!ticket.category.empty()) categories.insert(ticket.category);
  split.categories.assign(categories.begin(), categories.end());
  split.leakage = leakage_of(split, pool);
  split.train_hash = hash_of({&split.train});
  split.data_hash = hash_of({&split.train, &split.test});
  fill_cases(split.cases, split.train, encoder, cache);
  return split;
}

}  // namespace deskhand
