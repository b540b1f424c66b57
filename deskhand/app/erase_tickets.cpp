#include "deskhand/app/erase_tickets.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "deskhand/app/training_runs.h"
#include "deskhand/base/error.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"
#include "deskhand/retrieve/case_store.h"
#include "deskhand/retrieve/parquet.h"
#include "deskhand/tickets/export.h"
#include "deskhand/tickets/rejected_rows.h"
#include "deskhand/tickets/ticket_store.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

bool has_table(Database& database, std::string_view name) {
  auto found = database.prepare("SELECT 1 FROM sqlite_master WHERE name = ?1");
  return found.bind(1, name).step();
}

std::int64_t count(Statement& statement) {
  const auto n = statement.step() ? statement.integer(0) : 0;
  statement.reset();
  return n;
}

// Rows of `table` for which `where` holds of ?1: counted, and deleted unless dry.
std::int64_t drop_rows(Database& database, std::string_view table, std::string_view where, std::string_view value, bool dry) {
  if (!has_table(database, table)) return 0;
  auto rows = database.prepare(fmt::format("SELECT count(*) FROM {} WHERE {}", table, where));
  rows.bind(1, value);
  const auto found = count(rows);
  if (found > 0 && !dry) database.prepare(fmt::format("DELETE FROM {} WHERE {}", table, where)).bind(1, value).run();
  return found;
}

// Free pages and the log hold nothing any more.
void compact(Database& database) {
  database.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
}

// Case databases beside the desk's own: of an evaluation's splits, of training.
void erase_from_cases(const fs::path& file, std::span<const std::string> ids, ErasedFrom& erased) {
  if (!fs::exists(file)) return;
  Database database(file, Database::Mode::kReadWrite);
  if (!has_table(database, "cases")) return;
  std::int64_t gone = 0;
  for (const auto& id : ids) gone += drop_rows(database, "cases", "ticket_id = ?1", id, true);
  if (gone == 0) return;
  erased.files.push_back(file.string());
  if (erased.dry) return;
  CaseStore(database).remove(ids);
  compact(database);
}

// Evaluations that hold a ticket among those measured or show it in an answer.
std::set<std::string> evaluations_with(Database& database, std::span<const std::string> ids, const std::set<std::string>& systems) {
  std::set<std::string> names;
  if (!has_table(database, "evaluations")) return names;
  auto rows = database.prepare("SELECT name, json FROM evaluations");
  while (rows.step()) {
    const std::string name(rows.text(0));
    const Json json = parse_json(rows.text(1), name);
    const std::string figures = json.value("figures", std::string());
    bool holds = std::any_of(ids.begin(), ids.end(), [&](const auto& id) { return figures.find(write_json(id)) != std::string::npos; });
    for (const auto& split : json.value("splits", Json::array())) {
      for (const auto& ticket : split.value("tickets", Json::array()))
        holds = holds || std::find(ids.begin(), ids.end(), ticket.get<std::string>()) != ids.end();
      for (const auto& key : split.value("systems", Json::array())) holds = holds || systems.contains(key.get<std::string>());
    }
    if (holds) names.insert(name);
  }
  return names;
}

struct Export {
  fs::path folder;  // or file
  std::string kind;
};
std::vector<Export> noted_exports(Desk& desk) {
  std::vector<Export> all = {{desk.folder / "data", "training"}, {desk.folder / "rejected.csv", "rejected"}};
  if (!has_table(desk.database, "exports")) return all;
  auto rows = desk.database.prepare("SELECT DISTINCT folder, kind FROM exports");
  while (rows.step())
    if (const Export one{std::string(rows.text(0)), std::string(rows.text(1))}; one.folder != all[0].folder && one.folder != all[1].folder)
      all.push_back(one);
  return all;
}

// What another split or an audit wrote is not kept anywhere: its files are taken away.
bool drop_files(const Export& one, ErasedFrom& erased) {
  std::vector<std::string> names;
  if (one.kind == "fold") names = {"train.csv", "test.csv", "train.jsonl", "test.jsonl"};
  if (one.kind == "audit") names = {"index.html", "report.md", "metrics.json"};
  const auto there = [&](const std::string& name) { return fs::exists(one.folder / name); };
  if (std::any_of(names.begin(), names.end(), there)) erased.files.push_back(one.folder.string());
  for (const auto& name : names)
    if (!erased.dry) fs::remove(one.folder / name);
  return !names.empty();
}

bool quotes_any(std::string_view text, std::span<const std::string> ids) {
  return std::any_of(ids.begin(), ids.end(), [&](const auto& id) { return text.find(write_json(id)) != text.npos; });
}

// Lines for desk.toml hold ids and labels, no texts: the file goes, and what was copied from it is named.
void erase_from_settings(const Desk& desk, std::span<const Export> exports, std::span<const std::string> ids, ErasedFrom& erased) {
  std::error_code none;
  for (const auto& one : exports) {
    if (one.kind != "fixes" || !fs::is_regular_file(one.folder, none) || !quotes_any(read_text_file(one.folder), ids)) continue;
    erased.files.push_back(one.folder.string());
    if (!erased.dry) fs::remove(one.folder);
  }
  for (const char* name : {"desk.toml", "desk.toml.before"}) {
    if (!fs::is_regular_file(desk.folder / name, none)) continue;
    const std::string text = read_text_file(desk.folder / name);
    int number = 1;
    for (std::size_t at = 0; at < text.size(); ++number) {
      const auto end = std::min(text.find('\n', at), text.size());
      if (quotes_any(std::string_view(text).substr(at, end - at), ids)) erased.settings.push_back(fmt::format("{}:{}", name, number));
      at = end + 1;
    }
  }
}

// Training files hold no ids: they are written anew from the split as it is now.
void rewrite_exports(Desk& desk, std::span<const Export> exports, ErasedFrom& erased) {
  for (const auto& one : exports) {
    if (drop_files(one, erased)) continue;
    const bool training = one.kind == "training" && fs::exists(one.folder / "train.csv");
    const bool retriever = one.kind == "retriever" && fs::exists(one.folder / "metadata.parquet");
    if (!training && !retriever) continue;
    erased.files.push_back(one.folder.string());
    if (erased.dry) continue;
    if (training) {
      TicketStore store(desk.database);
      write_training_files(one.folder, store.all(Part::kTrain), store.all(Part::kTest), true);
      continue;
    }
    CaseStore cases(desk.database);
    const auto encoders = cases.encoders();
    if (has_parquet() && !encoders.empty() && cases.count() > 0) {
      export_retriever_data(one.folder, cases, encoders.front(), true);
    } else {
      fs::remove(one.folder / "metadata.parquet");
      fs::remove(one.folder / "embeddings.npy");
    }
  }
}

}  // namespace

ErasedFrom erase_tickets(Desk& desk, std::span<const std::string> ids, bool stay_away, bool dry) {
  ErasedFrom erased{.dry = dry};
  Database& database = desk.database;
  TicketStore store(database);
  std::set<std::string> text_hashes, systems;
  std::vector<std::string> known;
  const auto exports = noted_exports(desk);
  std::map<std::string, std::int64_t> rejected;
  for (const auto& one : exports) {
    if (one.kind != "rejected") continue;
    const auto found = drop_rejected(one.folder, ids, dry);
    if (!found.empty()) erased.files.push_back(one.folder.string());
    for (const auto& [id, rows] : found) rejected[id] += rows, erased.rejected += rows;
  }
  for (const auto& id : ids) {
    const auto ticket = store.find(id);
    std::int64_t traces = (ticket ? 1 : 0) + static_cast<std::int64_t>(rejected.count(id));
    if (ticket)
      for (const auto* text : {&ticket->subject, &ticket->problem, &ticket->query, &ticket->resolution, &ticket->solution, &ticket->result,
                               &ticket->clean_problem, &ticket->resolution_summary})
        text_hashes.insert(sha256(*text));
    if (has_table(database, "cases")) {
      auto kept = database.prepare("SELECT problem, resolution FROM cases WHERE ticket_id = ?1");
      if (kept.bind(1, id).step()) {
        ++traces;
        text_hashes.insert(sha256(kept.text(0)));
        text_hashes.insert(sha256(kept.text(1)));
      }
    }
    if (has_table(database, "evaluation_predictions")) {
      auto shown = database.prepare(
          "SELECT DISTINCT system FROM evaluation_predictions WHERE ticket_id = ?1 OR instr(json, '\"ticket_id\":' || json_quote(?1)) > 0");
      shown.bind(1, id);
      while (shown.step()) systems.insert(std::string(shown.text(0))), ++traces;
    }
    for (const auto& run : training_runs(desk.folder)) traces += run.fault.empty() && learnt_tickets(run.folder).contains(id);
    if (traces == 0) erased.unknown.push_back(id);
    known.push_back(id);
  }
  for (const auto& run : training_runs(desk.folder)) {
    if (!run.fault.empty()) continue;
    const auto learnt = learnt_tickets(run.folder);
    const auto of_them = std::count_if(ids.begin(), ids.end(), [&](const auto& id) { return learnt.contains(id); });
    if (of_them > 0) erased.runs.emplace_back(run.info.name, of_them);
  }

  const auto evaluations = evaluations_with(database, ids, systems);
  erased.evaluations.assign(evaluations.begin(), evaluations.end());
  {
    Transaction transaction(database);
    for (const auto& id : known) {
      erased.tickets += drop_rows(database, "tickets", "id = ?1", id, dry);  // activities and split go with it
      erased.answers += drop_rows(database, "triage_answers", "instr(jsonl, '\"ticket\":' || json_quote(?1)) > 0", id, dry);
      erased.predictions +=
          drop_rows(database, "evaluation_predictions", "ticket_id = ?1 OR instr(json, '\"ticket_id\":' || json_quote(?1)) > 0", id, dry);
      erased.cases += drop_rows(database, "cases", "ticket_id = ?1", id, true);
      erased.rewritings += drop_rows(database, "rewritings", "ticket_id = ?1", id, dry);
      if (stay_away && !dry) TicketWriter(database).keep_away(id);
    }
    for (const auto& name : evaluations) drop_rows(database, "evaluations", "name = ?1", name, dry);
    transaction.commit();
  }
  if (erased.cases > 0 && !dry) CaseStore(database).remove(known);
  erased.marks = dry ? 0 : RedactVault::forget(vault_file(desk), known);

  std::error_code none;
  for (const auto& name : evaluations) {
    const auto folder = desk.folder / "evaluations" / name;
    if (!fs::exists(folder)) continue;
    erased.files.push_back(folder.string());
    if (!dry) fs::remove_all(folder);
  }
  for (const auto& entry : fs::directory_iterator(desk.folder / "evaluations" / "cases", none))
    if (entry.path().extension() == ".db") erase_from_cases(entry.path(), known, erased);
  erase_from_cases(desk.folder / "runs" / "cases.db", known, erased);
  for (const char* folder : {"evaluations", "runs"}) {
    const auto file = desk.folder / folder / "vectors.db";
    if (!fs::exists(file)) continue;
    Database vectors(file, Database::Mode::kReadWrite);
    std::int64_t gone = 0;
    for (const auto& hash : text_hashes) gone += drop_rows(vectors, "text_vectors", "text = ?1", hash, dry);
    erased.vectors += gone;
    if (gone > 0 && !dry) compact(vectors);
  }
  if (erased.tickets + erased.cases > 0) rewrite_exports(desk, exports, erased);
  erase_from_settings(desk, exports, ids, erased);
  if (!dry) compact(database);
  return erased;
}

void note_export(Desk& desk, const fs::path& folder, std::string_view kind) {
  desk.database.execute(
      "CREATE TABLE IF NOT EXISTS exports(folder TEXT NOT NULL, kind TEXT NOT NULL, PRIMARY KEY(folder, kind)) WITHOUT ROWID");
  desk.database.prepare("INSERT OR IGNORE INTO exports(folder, kind) VALUES(?1, ?2)")
      .bind(1, fs::absolute(folder).lexically_normal().string())
      .bind(2, kind)
      .run();
}

std::vector<std::string> expired_tickets(Desk& desk, const std::string& today) {
  const auto& rule = desk.settings.import.retention;
  std::vector<std::string> ids;
  if (rule.days == 0) return ids;
  const auto first = first_day_to_keep(rule, today);
  TicketStore(desk.database).each(Part::kAll, false, [&](const Ticket& ticket) {
    if (is_expired(rule, ticket, first)) ids.push_back(ticket.id);
  });
  return ids;
}

std::string ErasedFrom::json() const {
  Json runs_json = Json::array();
  for (const auto& [name, tickets] : runs) runs_json.push_back({{"run", name}, {"tickets", tickets}});
  return write_json({{"dry_run", dry},
                     {"tickets", tickets},
                     {"cases", cases},
                     {"answers", answers},
                     {"predictions", predictions},
                     {"vectors", vectors},
                     {"rewritings", rewritings},
                     {"marks", marks},
                     {"rejected_rows", rejected},
                     {"settings", settings},
                     {"files", files},
                     {"evaluations", evaluations},
                     {"trained_runs", runs_json},
                     {"unknown", unknown}});
}

std::string ErasedFrom::text() const {
  std::string out = fmt::format(
      "{}{} tickets, {} cases, {} answers that showed them, {} predictions, {} vectors, {} rewritings, {} sealed marks, {} "
      "rejected rows\n",
      dry ? "would erase " : "erased ", tickets, cases, answers, predictions, vectors, rewritings, marks, rejected);
  for (const auto& file : files) out += fmt::format("{}: {}\n", dry ? "would be cleared of them" : "cleared of them", file);
  if (!evaluations.empty())
    out += fmt::format("evaluations that held or showed them {}: {}; measure again with: deskhand evaluate\n",
                       dry ? "would go" : "are gone", fmt::join(evaluations, ", "));
  for (const auto& [name, count] : runs)
    out +=
        fmt::format("the run {} was trained on {} of them: what a model learnt cannot be taken out of it; train anew and delete runs/{}\n",
                    name, count, name);
  if (!unknown.empty()) out += fmt::format("nothing here knows: {}\n", fmt::join(unknown, ", "));
  if (!settings.empty()) out += fmt::format("their ids stand in {}: take those lines out\n", fmt::join(settings, ", "));
  out += "The exported files that desk.toml names, and copies made elsewhere, are yours to clear.\n";
  return out;
}

}  // namespace deskhand
