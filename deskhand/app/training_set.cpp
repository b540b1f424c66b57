#include "deskhand/app/training_set.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "deskhand/app/draw_split.h"
#include "deskhand/app/fill_cases.h"
#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/tickets/ticket_store.h"
#include "deskhand/triage/training_text.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSpareCases = 12;  // found beyond those shown: near copies by their vectors are left out
constexpr std::size_t kChunk = 64;        // tickets between two looks at Ctrl-C

std::vector<Ticket> tickets_to_learn_from(Desk& desk) {
  TicketStore store(desk.database);
  if (store.count() == 0)
    throw Error(ExitCode::kNotFound, "the desk has no tickets yet; run: deskhand --desk {} prepare", desk.folder.string());
  if (store.count(Part::kTest) == 0)
    throw Error(ExitCode::kNotFound,
                "the desk has no tickets kept for testing yet, so nothing could measure what is trained; run: deskhand --desk {} split",
                desk.folder.string());
  return store.all(Part::kNotTest);
}

std::vector<std::string> categories_of(std::span<const Ticket> tickets) {
  std::set<std::string> names;
  for (const Ticket& ticket : tickets)
    if (!ticket.category.empty()) names.insert(ticket.category);
  return {names.begin(), names.end()};
}

// Finds what a training prompt shows.
class CaseFinder {
 public:
  // pool: every case, group: its near copies, not_shown: groups that are shown to none.
  CaseFinder(Desk& desk, std::span<const Ticket> pool, std::span<const std::int64_t> group, const std::set<std::int64_t>& not_shown,
             DeskEncoder* encoder, VectorCache* cache, ThreadPool& threads)
      : pool_(pool), group_(group), cache_(cache) {
    const fs::path folder = desk.folder / "runs";
    std::error_code failure;
    fs::create_directories(folder, failure);
    if (failure) throw Error(ExitCode::kCannotWrite, "cannot make the folder {}: {}", folder.string(), failure.message());
    Database database(folder / "cases.db", Database::Mode::kCreate);
    fill_cases(database, pool, encoder, cache);
    RetrieverSettings settings = desk.settings.retrieval;
    if (encoder) settings.encoder = encoder->id();
    retriever_.emplace(database, settings, threads);
    for (std::size_t i = 0; i < pool.size(); ++i) members_[group[i]].push_back(pool[i].id);
    for (const std::int64_t one : not_shown) not_shown_.insert(not_shown_.end(), members_.at(one).begin(), members_.at(one).end());
  }

  // Of each of these rows of the pool, best first.
  std::vector<std::vector<Case>> find(std::span<const std::size_t> rows, std::int64_t count, ThreadPool& threads) const {
    std::vector<std::string> problems;
    for (const std::size_t row : rows) problems.push_back(problem_text(pool_[row]));
    const std::vector<float> vectors = cache_ ? cache_->embed(problems) : std::vector<float>();
    const std::size_t width = vectors.size() / rows.size();
    std::vector<std::vector<Case>> cases(rows.size());
    threads.parallel_for(static_cast<std::int64_t>(rows.size()), 1, [&](std::int64_t begin, std::int64_t end, int) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        cases[i] = find_one(rows[i], std::span(vectors).subspan(i * width, width), count);
    });
    return cases;
  }

 private:
  std::vector<Case> find_one(std::size_t row, std::span<const float> vector, std::int64_t count) const {
    std::vector<std::string> leave_out = not_shown_;
    const auto& copies = members_.at(group_[row]);
    leave_out.insert(leave_out.end(), copies.begin(), copies.end());
    const auto found = retriever_->similar(problem_text(pool_[row]), vector, {.count = count + kSpareCases, .leave_out = leave_out});
    std::vector<Case> cases;
    for (const Hit& hit : found)
      if (static_cast<std::int64_t>(cases.size()) < count && hit.cosine < TriageSettings{}.near_copy) cases.push_back(hit.found);
    return cases;
  }

  std::span<const Ticket> pool_;
  std::span<const std::int64_t> group_;
  std::vector<std::string> not_shown_;
  VectorCache* cache_;
  std::map<std::int64_t, std::vector<std::string>> members_;
  std::optional<Retriever> retriever_;
};

void add(CutCounts& all, const CutCounts& part) {
  all.examples += part.examples;
  all.answers += part.answers;
  all.tokens += part.tokens;
  all.longest_tokens = std::max(all.longest_tokens, part.longest_tokens);
}

using Rows = std::vector<std::size_t>;  // of the pool, ascending

// Those that can teach; why the others cannot goes into `set`.
Rows teaching_rows(std::span<const Ticket> pool, const TrainingTextSettings& settings, std::int64_t without_problem, TrainingSet& set) {
  std::map<std::string, std::int64_t> faults;
  if (without_problem > 0) faults["no problem text"] = without_problem;
  Rows teaching;
  for (std::size_t i = 0; i < pool.size(); ++i) {
    const std::string fault = teaching_fault(pool[i], settings);
    if (fault.empty())
      teaching.push_back(i);
    else
      ++faults[fault];
  }
  set.cannot_teach.assign(faults.begin(), faults.end());
  std::stable_sort(set.cannot_teach.begin(), set.cannot_teach.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (teaching.size() >= 2) return teaching;
  std::vector<std::string> reasons;
  for (const auto& [why, tickets] : set.cannot_teach) reasons.push_back(fmt::format("{} with {}", tickets, why));
  const std::string_view labels = settings.format == TrainingFormat::kSeed
                                      ? "an urgency and a category (the recipe's format, seed, learns both; lora.toml's does with one)"
                                      : "an urgency or a category";
  throw Error(ExitCode::kBadInput,
              "{} of the desk's {} tickets to learn from can teach{}{}; wanted are at least 2 with a problem, a resolution, and {}",
              teaching.size(), set.tickets, reasons.empty() ? "" : ", there are ", fmt::join(reasons, ", "), labels);
}

Rows drawn(const Rows& rows, std::int64_t limit, std::uint32_t seed) {
  if (limit == 0 || limit >= static_cast<std::int64_t>(rows.size())) return rows;
  const auto order = numpy_permutation(static_cast<std::int64_t>(rows.size()), seed);
  Rows some;
  for (std::int64_t i = 0; i < limit; ++i) some.push_back(rows[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])]);
  std::sort(some.begin(), some.end());
  return some;
}

using Groups = std::set<std::int64_t>;  // of near copies

constexpr double kMostKeptApart = 0.25;  // of what can teach: a small desk's model must learn from something

// The groups of the tickets that `index` and `evaluate` fit label weights and temperature on, in the order of their draw.
Groups kept_apart(std::span<const Ticket> fitted_on, std::span<const Ticket> pool, const Rows& teaching,
                  std::span<const std::int64_t> group, TrainingSet& set) {
  std::map<std::string_view, std::int64_t> group_of;
  for (std::size_t i = 0; i < pool.size(); ++i) group_of.emplace(pool[i].id, group[i]);
  std::map<std::int64_t, std::int64_t> teaching_in;
  for (const std::size_t row : teaching) ++teaching_in[group[row]];
  const auto most = static_cast<std::int64_t>(kMostKeptApart * static_cast<double>(teaching.size()));
  Groups groups;
  std::int64_t rows = 0, learnt = 0;
  for (const Ticket& ticket : fitted_on) {
    const auto at = group_of.find(ticket.id);
    if (at == group_of.end() || groups.contains(at->second)) continue;  // without a problem text, or kept with a near copy
    const auto found = teaching_in.find(at->second);
    const std::int64_t more = found == teaching_in.end() ? 0 : found->second;
    if (rows + more > most) {
      ++learnt;
      continue;
    }
    groups.insert(at->second);
    rows += more;
  }
  set.kept_apart = rows;
  if (learnt > 0)
    set.warnings.push_back(
        fmt::format("{} of the {} tickets that label weights and temperature are fitted on are learnt from all the same: at most a quarter "
                    "of what can teach is kept apart. Probabilities may be too sure; set answer.held_out and evaluate.validation lower.",
                    learnt, fitted_on.size()));
  return groups;
}

struct Parts {
  Rows training, validation;
};

// `count` of these rows, in whole groups as far as they fit: near copies stay on one side.
Split grouped_draw(const Rows& rows, std::span<const std::int64_t> group, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> groups;
  for (const std::size_t row : rows) groups.push_back(group[row]);
  return grouped_split(groups, (static_cast<double>(count) - 0.5) / static_cast<double>(rows.size()), static_cast<std::uint32_t>(seed));
}

// Evaluated during training is first what is kept apart anyway. Near copies stay on one side.
Parts parts_of(const Rows& teaching, std::span<const std::int64_t> group, const Groups& apart, const Recipe& recipe, std::int64_t limit,
               TrainingSet& set) {
  Parts parts;
  Rows kept;
  for (const std::size_t row : teaching) (apart.contains(group[row]) ? kept : parts.training).push_back(row);
  const auto all = static_cast<std::int64_t>(teaching.size()), wanted = limit > 0 ? std::min(limit, all) : all;
  auto to_evaluate = std::min(wanted - 1, static_cast<std::int64_t>(std::ceil(recipe.data.validation_share * static_cast<double>(wanted))));
  const auto take = [&](Rows& from) {
    const Split split = grouped_draw(from, group, to_evaluate, recipe.run.seed);
    for (const auto row : split.test) parts.validation.push_back(from[static_cast<std::size_t>(row)]);
    Rows left;
    for (const auto row : split.train) left.push_back(from[static_cast<std::size_t>(row)]);
    from = std::move(left);
    to_evaluate -= static_cast<std::int64_t>(split.test.size());
  };
  const auto groups_of = [&](const Rows& rows) {
    Groups groups;
    for (const std::size_t row : rows) groups.insert(group[row]);
    return groups.size();
  };
  if (to_evaluate > 0 && (to_evaluate >= static_cast<std::int64_t>(kept.size()) || groups_of(kept) == 1)) {
    to_evaluate -= static_cast<std::int64_t>(kept.size());
    parts.validation = std::move(kept);
  } else if (to_evaluate > 0) {
    take(kept);
    to_evaluate = 0;
  }
  if (to_evaluate > 0 && groups_of(parts.training) > 1)
    take(parts.training);
  else if (to_evaluate > 0 && parts.validation.empty())
    set.warnings.push_back("No ticket is kept for evaluation during training: all that can teach are near copies of one another.");
  parts.training =
      drawn(parts.training, limit > 0 ? std::max<std::int64_t>(1, wanted - static_cast<std::int64_t>(parts.validation.size())) : 0,
            static_cast<std::uint32_t>(recipe.run.seed));
  std::sort(parts.validation.begin(), parts.validation.end());
  return parts;
}

}  // namespace

TrainingSet make_training_set(Desk& desk, const Recipe& recipe, const TrainingScope& scope, DeskEncoder* encoder, VectorCache* cache,
                              const Tokenizer& tokenizer, const ChatTemplate* chat, ThreadPool& threads) {
  TrainingSet set;
  std::vector<Ticket> pool = tickets_to_learn_from(desk);
  set.tickets = static_cast<std::int64_t>(pool.size());
  const AnswerSettings& answer = desk.settings.answer;
  const auto fitted_on = draw_tickets(pool, recipe.data.keep_apart ? answer.held_out + desk.settings.evaluate.validation : 0, answer.seed);
  const auto empty = std::erase_if(pool, [](const Ticket& ticket) { return problem_text(ticket).empty(); });
  const TrainingTextSettings settings{.format = recipe.data.format,
                                      .loss_on = recipe.data.loss_on,
                                      .label_weight = recipe.data.label_weight,
                                      .max_tokens = recipe.data.max_tokens,
                                      .prompt = prompt_settings(desk.settings, categories_of(pool))};
  const Rows teaching = teaching_rows(pool, settings, static_cast<std::int64_t>(empty), set);
  const std::vector<std::int64_t> group = near_copy_groups(problem_texts(pool), threads);
  const Groups apart = kept_apart(fitted_on, pool, teaching, group, set);
  const Parts parts = parts_of(teaching, group, apart, recipe, scope.limit, set);
  Groups not_shown = apart;
  for (const std::size_t row : parts.validation) not_shown.insert(group[row]);

  for (const std::size_t row : parts.training) set.training_tickets.push_back(pool[row].id);
  for (const std::size_t row : parts.validation) set.validation_tickets.push_back(pool[row].id);
  const bool shows_cases = recipe.data.format == TrainingFormat::kTriage && recipe.data.cases > 0;
  std::optional<CaseFinder> finder;
  if (shows_cases) finder.emplace(desk, pool, group, not_shown, encoder, cache, threads);
  Progress progress({.what = "writing training texts",
                     .unit = "tickets",
                     .total = static_cast<std::int64_t>(parts.training.size() + parts.validation.size()),
                     .quiet = scope.quiet || parts.training.size() < 8 * kChunk});
  const auto write = [&](const Rows& rows) {
    std::vector<Example> examples;
    for (std::size_t first = 0; first < rows.size(); first += kChunk) {
      check_interrupt();
      const auto chunk = std::span(rows).subspan(first, std::min(kChunk, rows.size() - first));
      std::vector<std::vector<Case>> cases(chunk.size());
      if (finder) cases = finder->find(chunk, recipe.data.cases, threads);
      for (std::size_t i = 0; i < chunk.size(); ++i) {
        auto text = training_text(pool[chunk[i]], cases[i], settings, tokenizer, chat);
        set.cases_shown += text->cases_shown;
        set.cases_shortened += text->cases_shortened;
        set.without_cases += shows_cases && text->cases_shown == 0;
        examples.push_back(std::move(text.value().example));
      }
      progress.advance(static_cast<std::int64_t>(chunk.size()));
    }
    add(set.cut, cut_examples(examples, recipe.data.max_tokens));
    return examples;
  };
  set.training = write(parts.training);
  set.validation = write(parts.validation);
  set.hash = sha256(hash_of(set.training) + hash_of(set.validation));
  return set;
}

}  // namespace deskhand
