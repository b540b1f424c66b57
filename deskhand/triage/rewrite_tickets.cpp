#include "deskhand/triage/rewrite_tickets.h"

#include <chrono>
#include <optional>
#include <unordered_map>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

constexpr std::string_view kExtract = "sentences of the source 1";

struct Kept {
  std::string text;
  RewriteFault fault = RewriteFault::kNone;
};

// Table `rewritings`. A row is its first ticket's, so that forgetting the ticket takes it.
class RewritingCache {
 public:
  explicit RewritingCache(Database& database)
      : find_(with_table(database).prepare("SELECT text, fault FROM rewritings WHERE key = ?1")),
        put_(database.prepare("INSERT OR REPLACE INTO rewritings(key, ticket_id, text, fault) VALUES(?1, ?2, ?3, ?4)")) {}

  std::optional<Kept> find(const std::string& key) {
    find_.bind(1, key);
    std::optional<Kept> kept;
    if (find_.step()) kept = Kept{std::string(find_.text(0)), static_cast<RewriteFault>(find_.integer(1))};
    find_.reset();
    return kept;
  }
  void put(const std::string& key, const std::string& ticket_id, const Kept& kept) {
    put_.bind(1, key).bind(2, ticket_id).bind(3, kept.text).bind(4, static_cast<int>(kept.fault)).run();
  }

 private:
  static Database& with_table(Database& database) {
    database.execute(
        "CREATE TABLE IF NOT EXISTS rewritings(key TEXT PRIMARY KEY, ticket_id TEXT NOT NULL, text TEXT NOT NULL, fault INTEGER NOT NULL) "
        "WITHOUT "
        "ROWID; CREATE INDEX IF NOT EXISTS rewritings_by_ticket ON rewritings(ticket_id)");
    return database;
  }
  Statement find_, put_;
};

class Rewriting {
 public:
  Rewriting(Database& database, RewriteModel* model, const RewriteSettings& settings)
      : database_(database), model_(model), settings_(settings), store_(database), cache_(database), cleaner_(settings.clean) {}

  RewriteReport run() {
    const auto start = std::chrono::steady_clock::now();
    auto ids = store_.ids();
    if (ids.empty()) throw Error(ExitCode::kNotFound, "{}: no ticket to rewrite; run 'deskhand prepare' first", database_.path().string());
    if (settings_.limit > 0 && static_cast<std::int64_t>(ids.size()) > settings_.limit)
      ids.resize(static_cast<std::size_t>(settings_.limit));
    Progress progress({.what = "rewriting", .unit = "tickets", .total = static_cast<std::int64_t>(ids.size()), .quiet = settings_.quiet});
    for (const auto& id : ids) {
      check_interrupt();
      take(id);
      if (waiting_ >= settings_.batch) flush();
      progress.advance();
    }
    flush();
    progress.finish();
    report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report_;
  }

 private:
  struct Part {
    RewriteTask task;
    std::string key;
    std::optional<Kept> kept;  // nothing: to be asked for
    bool is_short = false;
  };
  struct Open {
    std::string id, problem, resolution;  // as they stand
    std::array<Part, 2> parts;
  };

  void take(const std::string& id) {
    const auto ticket = store_.find(id);
    if (!ticket) return;
    ++report_.tickets;
    Open open{.id = id, .problem = ticket->clean_problem, .resolution = ticket->resolution_summary, .parts = {}};
    open.parts[0].task = {RewriteKind::kProblem, ticket->query.empty() ? ticket->problem : ticket->query};
    open.parts[1].task = {RewriteKind::kResolution, ticket->resolution.empty() ? ticket->solution : ticket->resolution};
    for (auto& part : open.parts) {
      if (count_words(part.task.source) <= settings_.enough) {
        part.is_short = true;
        ++report_.short_enough;
        continue;
      }
      ++report_.texts;
      part.key = key_of(part.task);
      if (model_) {
        part.kept = cache_.find(part.key);
        report_.from_cache += part.kept.has_value();
      } else {
        part.kept = Kept{extract_summary(part.task.source, most_words(part.task.kind))};
      }
      waiting_ += !part.kept;
    }
    open_.push_back(std::move(open));
    if (open_.size() >= 64 * settings_.batch) flush();  // found in the cache, all of them
  }

  std::string key_of(const RewriteTask& task) const {
    const std::string writer = model_ ? model_->id() : std::string(kExtract);
    return sha256(
        fmt::format("rewriting 1\n{}\n{}\n{}\n{}", writer, identity_of(settings_.clean), static_cast<int>(task.kind), task.source));
  }

  Kept judged(const RewriteTask& task, const Expected<std::string, std::string>& written) {
    if (!written) return {{}, RewriteFault::kNoAnswer};
    const auto most = most_words(task.kind);
    const std::string text = tidy_rewriting(*written, most, plain_);
    const auto fault = check_rewriting(task.source, text, most, cleaner_);
    return {fault == RewriteFault::kNone ? text : std::string(), fault};
  }

  void flush() {
    std::vector<RewriteTask> tasks;
    std::vector<std::pair<const Open*, Part*>> places;
    for (auto& open : open_)
      for (auto& part : open.parts)
        if (!part.kept && !part.is_short) tasks.push_back(part.task), places.emplace_back(&open, &part);
    std::vector<Expected<std::string, std::string>> written;
    if (!tasks.empty()) written = model_->rewrite(tasks);
    report_.asked += static_cast<std::int64_t>(tasks.size());
    Transaction transaction(database_);
    for (std::size_t i = 0; i < places.size(); ++i) {
      auto& [open, part] = places[i];
      part->kept = judged(part->task, written[i]);
      // A model that failed may not fail the next time.
      if (part->kept->fault != RewriteFault::kNoAnswer) cache_.put(part->key, open->id, *part->kept);
    }
    for (const auto& open : open_) {
      std::array<std::string, 2> texts;
      for (std::size_t i = 0; i < 2; ++i) {
        const auto& kept = open.parts[i].kept;
        if (!kept) continue;
        texts[i] = kept->text;
        report_.rewritten += kept->fault == RewriteFault::kNone;
        report_.faults[static_cast<std::size_t>(kept->fault)] += kept->fault != RewriteFault::kNone;
      }
      if (texts[0] != open.problem || texts[1] != open.resolution) store_.set_rewriting(open.id, texts[0], texts[1]);
    }
    transaction.commit();
    open_.clear();
    waiting_ = 0;
  }

  Database& database_;
  RewriteModel* model_;
  const RewriteSettings& settings_;
  TicketStore store_;
  RewritingCache cache_;
  Cleaner cleaner_, plain_;
  RewriteReport report_;
  std::vector<Open> open_;
  std::size_t waiting_ = 0;
};

}  // namespace

RewriteReport rewrite_tickets(Database& database, RewriteModel* model, const RewriteSettings& settings) {
  return Rewriting(database, model, settings).run();
}

std::string RewriteReport::json() const {
  Json faults_json = Json::object();
  for (std::size_t i = 1; i < kRewriteFaults; ++i) faults_json[std::string(name_of(static_cast<RewriteFault>(i)))] = faults[i];
  return write_json({{"tickets", tickets},
                     {"texts", texts},
                     {"short_enough", short_enough},
                     {"from_cache", from_cache},
                     {"asked", asked},
                     {"rewritten", rewritten},
                     {"kept_as_cleaned", faults_json},
                     {"seconds", seconds}});
}

std::string RewriteReport::text() const {
  std::string out = fmt::format("{} tickets: {} texts rewritten, {} short enough as they are; {} asked for now, {} known from before\n",
                                tickets, rewritten, short_enough, asked, from_cache);
  const auto failed = texts - rewritten;
  if (failed == 0) return out;
  out += fmt::format("{} texts stay as they were cleaned:", failed);
  for (std::size_t i = 1; i < kRewriteFaults; ++i)
    if (faults[i]) out += fmt::format(" {} {},", name_of(static_cast<RewriteFault>(i)), faults[i]);
  out.back() = '\n';
  return out;
}

}  // namespace deskhand
