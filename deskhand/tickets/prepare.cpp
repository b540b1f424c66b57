#include "deskhand/tickets/prepare.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/parallel.h"
#include "deskhand/base/progress.h"
#include "deskhand/base/sha256.h"
#include "deskhand/tickets/history.h"
#include "deskhand/tickets/rejected_rows.h"
#include "deskhand/tickets/staged_rows.h"

namespace deskhand {
namespace {

std::string now_utc() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto midnight = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day day(midnight);
  const auto clock = (now - midnight).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()), clock / 3600, clock / 60 % 60, clock % 60);
}

std::string iso_day(std::chrono::sys_days day) {
  const std::chrono::year_month_day calendar(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(calendar.year()), static_cast<unsigned>(calendar.month()),
                     static_cast<unsigned>(calendar.day()));
}

// What an import writes of a ticket, the history aside.
bool same_fields(const Ticket& a, const Ticket& b) {
  const auto fields = [](const Ticket& t) {
    return std::tie(t.subject, t.problem, t.urgency, t.category, t.area, t.issue, t.query, t.resolution, t.solution, t.result, t.account_id,
                    t.account, t.received, t.completed);
  };
  return fields(a) == fields(b);
}

// A folder of mails has no bytes of its own: names and sizes tell whether it is the same.
std::string sha256_of_export(const std::filesystem::path& path) {
  std::error_code fault;
  if (!std::filesystem::is_directory(path, fault)) return sha256_of_file(path);
  std::vector<std::string> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
    if (entry.is_regular_file()) lines.push_back(fmt::format("{} {}\n", entry.path().lexically_relative(path).string(), entry.file_size()));
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const auto& line : lines) all += line;
  return sha256(all);
}

class Preparation {
 public:
  Preparation(const PrepareSettings& settings, Database& database)
      : settings_(settings),
        database_(database),
        staged_(database),
        store_(database),
        writer_(database),
        pool_(settings.threads),
        rejected_(settings.rejected_file, settings.clean.redact) {}

  PrepareReport run() {
    Transaction transaction(database_);
    for (const auto& file : settings_.ticket_files) read(file, TableRole::kTickets, settings_.ticket_sheet);
    for (const auto& file : settings_.history_files) read(file, TableRole::kHistory, settings_.history_sheet);
    if (settings_.vault) settings_.vault->begin();
    join();
    if (!settings_.ticket_files.empty()) look_for_missing();
    for (const auto& cleaner : cleaners_) {
      report_.cleaning += cleaner.counts();
      if (const auto* redactor = cleaner.redactor()) report_.redaction += redactor->counts();
    }
    report_.rejected = rejected_.count();
    report_.unknown_tickets = static_cast<std::int64_t>(unknown_.size());
    const auto counts = report_.json();
    const auto when = now_utc();
    for (std::size_t i = 0; i < report_.files.size(); ++i) {
      const auto& file = report_.files[i];
      writer_.log({.when = when,
                   .role = i < settings_.ticket_files.size() ? "tickets" : "history",
                   .file = file.file,
                   .sha256 = file.sha256,
                   .rows = file.rows,
                   .counts = counts});
    }
    rejected_.commit();
    if (settings_.vault) settings_.vault->commit();  // first: a mark without its ticket harms less than a ticket without its marks
    transaction.commit();
    return std::move(report_);
  }

 private:
  void read(const std::filesystem::path& path, TableRole role, const std::string& sheet) {
    auto options = settings_.table;
    options.sheet = sheet;
    for (const auto& [field, column] : mapped_columns(settings_.mapping, role)) options.columns.push_back(column);
    const auto table = open_table(path, options);
    RowMapper mapper(settings_.mapping, role, *table);
    PrepareReport::File file{.file = path.string(), .description = "", .sha256 = sha256_of_export(path)};
    Progress progress({.what = "reading " + path.filename().string(), .unit = "rows", .quiet = settings_.quiet});
    for (Row row;;) {
      check_interrupt();
      try {
        if (!table->next(row)) break;
        ++file.rows;
        if (role == TableRole::kTickets) {
          const Ticket ticket = mapper.ticket(row);
          mapper.is_excluded(ticket) ? leave_out(ticket.id) : take(ticket);
        } else {
          take(mapper.activity(row));
        }
      } catch (const RowError& error) {
        if (!settings_.skip_bad_rows) throw;
        reject(path, mapper.ticket_id(error.cells()), error);
      }
      progress.advance();
    }
    file.description = table->description();
    progress.finish(fmt::format("{}: {} rows ({})", path.filename().string(), file.rows, file.description));
    (role == TableRole::kTickets ? report_.ticket_rows : report_.history_rows) += file.rows;
    report_.unread_dates += static_cast<std::int64_t>(mapper.unread_dates());
    report_.files.push_back(std::move(file));
  }

  // What a forgotten ticket's row says is written nowhere, also where the row cannot be read: where no column tells whose it is, the id
  // is looked for among its first words.
  static constexpr int kMostWords = 200;
  void reject(const std::filesystem::path& file, const std::string& ticket_id, const RowError& error) {
    constexpr std::string_view kBetween = " \t\r\n\",;:|{}[]";  // of words, in a line of JSON too
    int words = 0;
    const auto names_forgotten = [&](std::string_view cell) {
      if (++words > kMostWords) return false;
      if (writer_.is_kept_away(bare_id(cell))) return true;
      for (auto at = cell.find_first_not_of(kBetween); at < cell.size() && words <= kMostWords; ++words) {
        const auto end = std::min(cell.find_first_of(kBetween, at), cell.size());
        if (writer_.is_kept_away(cell.substr(at, end - at))) return true;
        at = cell.find_first_not_of(kBetween, end);
      }
      return false;
    };
    if (ticket_id.empty() ? std::any_of(error.cells().begin(), error.cells().end(), names_forgotten) : writer_.is_kept_away(ticket_id)) {
      ++report_.skipped["ticket that was forgotten"];
      return;
    }
    rejected_.put(file, ticket_id, error);
  }

  // An earlier import's goes too.
  void leave_out(const std::string& id) {
    ++report_.skipped["ticket left out by import.exclude"];
    excluded_.insert(id);
    tickets_.erase(id);
    renewed_.erase(id);
    writer_.remove(id);
  }

  void take(const Ticket& ticket) {
    if (ticket.id.empty()) {
      ++report_.skipped["ticket row without an id"];
      return;
    }
    if (!tickets_.insert(ticket.id).second) ++report_.skipped["ticket id that comes again (its last row counts)"];
    excluded_.erase(ticket.id);
    staged_.put(ticket);
    if (settings_.mapping.activities.empty()) return;
    renewed_.insert(ticket.id);
    staged_.drop_activities(ticket.id);
    for (const auto& activity : ticket.activities) staged_.put(activity, sequence_++);
  }

  void take(const Activity& activity) {
    if (activity.ticket_id.empty()) {
      ++report_.skipped["history row without a ticket id"];
      return;
    }
    if (excluded_.contains(activity.ticket_id)) {
      ++report_.skipped["history of a ticket that is left out"];
      return;
    }
    if (!tickets_.contains(activity.ticket_id) && !writer_.has(activity.ticket_id)) {
      ++report_.skipped["history of an unknown ticket"];
      unknown_.insert(activity.ticket_id);
      return;
    }
    renewed_.insert(activity.ticket_id);
    staged_.put(activity, sequence_++);
  }

  void join() {
    std::vector<std::string> touched(tickets_.begin(), tickets_.end());
    for (const auto& id : renewed_)
      if (!tickets_.contains(id)) touched.push_back(id);
    std::sort(touched.begin(), touched.end());
    Progress progress({.what = "joining tickets and history",
                       .unit = "tickets",
                       .total = static_cast<std::int64_t>(touched.size()),
                       .quiet = settings_.quiet});
    for (int i = 0; i < pool_.size(); ++i) cleaners_.emplace_back(settings_.clean);
    // Loading and writing are the database's, one after the other; cleaning takes the time, and each ticket is cleaned by itself.
    constexpr std::size_t kBatch = 256;
    std::vector<Joining> batch;
    for (std::size_t at = 0; at < touched.size(); at += kBatch) {
      check_interrupt();
      batch.clear();
      const auto end = std::min(at + kBatch, touched.size());
      for (std::size_t i = at; i < end; ++i)
        if (auto joining = load(touched[i])) batch.push_back(std::move(*joining));
      pool_.parallel_for(static_cast<std::int64_t>(batch.size()), 8, [&](std::int64_t begin, std::int64_t stop, int worker) {
        for (auto i = begin; i < stop; ++i) clean(batch[static_cast<std::size_t>(i)], cleaners_[static_cast<std::size_t>(worker)]);
      });
      for (const auto& joining : batch) keep(joining);
      progress.advance(static_cast<std::int64_t>(end - at));
    }
    progress.finish(fmt::format("joined {} tickets with {} activities: {} new, {} changed, {} as they were", report_.tickets,
                                report_.activities, report_.added, report_.updated, report_.unchanged));
  }

  // A ticket between its rows and the database.
  struct Joining {
    std::optional<Ticket> stored;  // as the database has it
    Ticket ticket;
    bool is_new = false;  // its row is of this import
    JoinedHistory joined;
    RedactMarks marks;
  };

  // A ticket's row is this import's where there is one, else the database's; so is its history, which is replaced as a whole.
  std::optional<Joining> load(const std::string& id) {
    Joining joining{.stored = store_.find(id), .ticket = {}, .is_new = tickets_.contains(id)};
    DESKHAND_ASSERT(joining.is_new || joining.stored, "history is taken of known tickets alone");
    joining.ticket = joining.is_new ? staged_.ticket(id) : *joining.stored;
    if (renewed_.contains(id)) {
      joining.ticket.activities = staged_.activities(id);
    } else if (joining.stored) {
      joining.ticket.activities = joining.stored->activities;
    }
    if (writer_.is_kept_away(id)) {
      ++report_.skipped["ticket that was forgotten"];
      return std::nullopt;
    }
    if (is_expired(settings_.retention, joining.ticket, first_day_)) {
      ++report_.skipped["ticket older than the retention rule lets stay"];
      return std::nullopt;
    }
    return joining;
  }

  // The query is cleaned first, so that its marks count as they do in a query by itself.
  void clean(Joining& joining, Cleaner& cleaner) const {
    auto& ticket = joining.ticket;
    cleaner.begin_ticket();
    for (const auto* text : {&ticket.subject, &ticket.problem, &ticket.solution, &ticket.result}) cleaner.learn(*text);
    for (const auto& activity : ticket.activities) cleaner.learn(activity.user), cleaner.learn(activity.text);
    const std::string problem = std::exchange(ticket.problem, {}), solution = std::exchange(ticket.solution, {});
    joining.joined = join_history(ticket, settings_.mapping, cleaner);
    const auto cleaned = [&](const std::string& text) { return joining.is_new ? cleaner.clean_part(text) : cleaner.redact(text); };
    ticket.problem = cleaned(problem);
    ticket.solution = cleaned(solution);
    ticket.result = cleaned(ticket.result);
    if (ticket.query.empty()) ticket.query = ticket.problem;
    if (ticket.resolution.empty()) ticket.resolution = ticket.solution;
    ticket.subject = one_line(cleaner.redact(ticket.subject));
    ticket.account = cleaner.redact(ticket.account);
    for (auto& activity : ticket.activities)
      for (auto* text : {&activity.user, &activity.short_text, &activity.text}) *text = cleaner.redact(*text);
    if (settings_.vault && cleaner.redactor()) joining.marks = cleaner.redactor()->marks();
  }

  void keep(const Joining& joining) {
    const auto& ticket = joining.ticket;
    if (settings_.vault && cleaners_.front().redactor()) keep_marks(ticket.id, joining.marks);
    report_.empty_activities += joining.joined.empty_activities;
    if (problem_text({.subject = ticket.subject, .problem = ticket.problem, .query = ticket.query}).empty()) {
      ++report_.skipped["ticket without subject, problem or history"];
      if (joining.stored) writer_.remove(ticket.id);
      return;
    }
    write(ticket, joining.stored ? &*joining.stored : nullptr);
    ++report_.tickets;
    report_.activities += static_cast<std::int64_t>(ticket.activities.size());
    report_.no_subject += ticket.subject.empty();
    report_.no_problem += ticket.problem.empty();
    report_.no_solution += ticket.solution.empty();
    report_.no_urgency += ticket.urgency == 0;
    report_.no_category += ticket.category.empty();
    report_.completed_early += is_after(ticket.received, ticket.completed);
    report_.without_history += !joining.joined.query_from_history && !joining.joined.resolution_from_history;
    if (ticket.urgency) ++report_.urgencies[ticket.urgency];
    if (!ticket.category.empty()) ++report_.categories[ticket.category];
  }

  // Marks of earlier imports that still stand in the ticket are kept beside the new ones.
  void keep_marks(const std::string& id, RedactMarks marks) {
    if (const auto earlier = settings_.vault->find(id)) marks.insert(earlier->begin(), earlier->end());
    settings_.vault->put(id, marks);
  }

  void write(const Ticket& ticket, const Ticket* stored) {
    const bool same_history = stored && stored->activities == ticket.activities;
    if (same_history && same_fields(*stored, ticket)) {
      ++report_.unchanged;
      return;
    }
    ++(stored ? report_.updated : report_.added);
    writer_.put(ticket);
    writer_.set_texts(ticket.id, ticket.query, ticket.resolution);
    if (same_history) return;
    if (stored) writer_.drop_activities(ticket.id);
    std::int64_t sequence = 0;
    for (const auto& activity : ticket.activities) writer_.put(activity, sequence++);
  }

  void look_for_missing() {
    for (const auto& id : store_.ids()) {
      if (tickets_.contains(id)) continue;
      ++report_.missing;
      if (settings_.missing == Missing::kKeep) continue;
      writer_.remove(id);
      ++report_.removed;
    }
  }

  const PrepareSettings& settings_;
  Database& database_;
  StagedRows staged_;
  TicketStore store_;
  TicketWriter writer_;
  ThreadPool pool_;
  std::vector<Cleaner> cleaners_;  // one a thread
  RejectedRows rejected_;
  PrepareReport report_;
  std::unordered_set<std::string> tickets_, renewed_, unknown_;  // ids: with a row, with history, that no ticket has
  std::unordered_set<std::string> excluded_;                     // ids with a row that is left out
  std::int64_t sequence_ = 0;
  const std::string first_day_ = first_day_to_keep(settings_.retention, today_utc());
};

}  // namespace

std::string today_utc() {
  return iso_day(std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
}

std::string first_day_to_keep(const Retention& rule, const std::string& today) {
  const auto number = [&](std::size_t at, std::size_t length) { return std::stoi(today.substr(at, length)); };
  const std::chrono::year_month_day day{std::chrono::year(number(0, 4)), std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  return iso_day(std::chrono::sys_days(day) - std::chrono::days(rule.days));
}

bool is_expired(const Retention& rule, const Ticket& ticket, const std::string& first_day) {
  const bool by_completion = rule.since == Retention::Since::kCompleted && !ticket.completed.empty();
  const std::string& since = by_completion ? ticket.completed : ticket.received;
  return rule.days > 0 && !since.empty() && since < first_day;
}

PrepareReport prepare(const PrepareSettings& settings, Database& database) {
  if (settings.ticket_files.empty() && settings.history_files.empty())
    throw Error(ExitCode::kUsage, "nothing to prepare: name the ticket files under [data] in desk.toml or on the command line");
  return Preparation(settings, database).run();
}

std::string PrepareReport::json() const {
  Json object;
  object["files"] = Json::array();
  for (const auto& file : files)
    object["files"].push_back({{"file", file.file}, {"kind", file.description}, {"sha256", file.sha256}, {"rows", file.rows}});
  object["ticket_rows"] = ticket_rows;
  object["history_rows"] = history_rows;
  object["tickets"] = tickets;
  object["added"] = added;
  object["updated"] = updated;
  object["unchanged"] = unchanged;
  object["missing"] = missing;
  object["removed"] = removed;
  object["activities"] = activities;
  object["rejected"] = rejected;
  object["skipped"] = Json::object();
  for (const auto& [why, rows] : skipped) object["skipped"][why] = rows;
  object["no_subject"] = no_subject;
  object["no_problem"] = no_problem;
  object["no_solution"] = no_solution;
  object["no_urgency"] = no_urgency;
  object["no_category"] = no_category;
  object["without_history"] = without_history;
  object["empty_activities"] = empty_activities;
  object["unread_dates"] = unread_dates;
  object["completed_before_received"] = completed_early;
  object["unknown_tickets"] = unknown_tickets;
  object["urgencies"] = Json::object();
  for (const auto& [urgency, count] : urgencies) object["urgencies"][std::to_string(urgency)] = count;
  object["categories"] = Json::object();
  for (const auto& [category, count] : categories) object["categories"][category] = count;
  object["cleaned_texts"] = cleaning.texts;
  object["cleaning"] = Json::object();
  for (std::size_t rule = 0; rule < kCleanRules; ++rule)
    object["cleaning"][std::string(name_of(static_cast<CleanRule>(rule)))] = cleaning.changed[rule];
  object["redacted_texts"] = redaction.texts;
  object["redacted"] = Json::object();
  for (std::size_t kind = 0; kind < kPersonalKinds; ++kind)
    object["redacted"][std::string(name_of(static_cast<PersonalKind>(kind)))] = redaction.places[kind];
  return write_json(object);
}

std::string PrepareReport::text() const {
  std::string out;
  for (const auto& file : files) out += fmt::format("{}: {} rows ({})\n", file.file, file.rows, file.description);
  out += fmt::format("{} tickets with {} activities; {} without history\n", tickets, activities, without_history);
  out += fmt::format("{} new, {} changed, {} as they were\n", added, updated, unchanged);
  if (removed)
    out += fmt::format("{} tickets of earlier imports are not in these files and were removed\n", removed);
  else if (missing)
    out += fmt::format("{} tickets of earlier imports are not in these files and were kept; --missing remove takes them away\n", missing);
  out += fmt::format(
      "missing: {} subjects, {} problems, {} solutions, {} urgencies, {} categories; {} empty activities; {} dates that could not be "
      "read or cannot be\n",
      no_subject, no_problem, no_solution, no_urgency, no_category, empty_activities, unread_dates);
  if (completed_early)
    out += fmt::format("{} tickets were completed before they were received: if days and months are swapped, change import.dates\n",
                       completed_early);
  if (rejected) out += fmt::format("{} rows could not be read and were left out\n", rejected);
  for (const auto& [why, rows] : skipped) out += fmt::format("skipped: {} x {}\n", rows, why);
  if (unknown_tickets) out += fmt::format("the history names {} tickets that the ticket files lack\n", unknown_tickets);
  out += "urgency:";
  for (const auto& [urgency, count] : urgencies) out += fmt::format(" {}: {}", urgency, count);
  out += fmt::format("\n{} categories; cleaned {} texts:", categories.size(), cleaning.texts);
  for (std::size_t rule = 0; rule < kCleanRules; ++rule)
    if (cleaning.changed[rule]) out += fmt::format(" {} {},", name_of(static_cast<CleanRule>(rule)), cleaning.changed[rule]);
  out.back() = '\n';
  if (redaction.texts == 0) return out;
  out += fmt::format("redacted in {} texts:", redaction.texts);
  for (std::size_t kind = 0; kind < kPersonalKinds; ++kind)
    if (redaction.places[kind]) out += fmt::format(" {} {},", name_of(static_cast<PersonalKind>(kind)), redaction.places[kind]);
  out.back() = '\n';
  return out;
}

}  // namespace deskhand
