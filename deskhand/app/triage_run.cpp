#include "deskhand/app/triage_run.h"

#include "deskhand/base/error.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/base/sha256.h"
#include "deskhand/base/stopwatch.h"
#include "deskhand/triage/decision.h"

namespace deskhand {
namespace {

// The unfinished run of these very queries under this very fingerprint, or a new one.
std::int64_t open_run(Database& database, const std::string& key) {
  database.execute(
      "CREATE TABLE IF NOT EXISTS triage_runs(id INTEGER PRIMARY KEY, key TEXT NOT NULL, started TEXT NOT NULL DEFAULT "
      "(strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), finished TEXT);"
      "CREATE TABLE IF NOT EXISTS triage_answers(run INTEGER NOT NULL REFERENCES triage_runs(id) ON DELETE CASCADE, position INTEGER NOT "
      "NULL, jsonl TEXT NOT NULL, csv TEXT NOT NULL, text TEXT NOT NULL,"
      "  PRIMARY KEY(run, position)) WITHOUT ROWID");
  Statement unfinished = database.prepare("SELECT max(id) FROM triage_runs WHERE key = ?1 AND finished IS NULL");
  if (unfinished.bind(1, key).step() && !unfinished.is_null(0)) return unfinished.integer(0);
  database.prepare("INSERT INTO triage_runs(key) VALUES(?1)").bind(1, key).run();
  return database.last_insert_id();
}

std::vector<AnsweredTicket> kept_answers(Database& database, std::int64_t run) {
  std::vector<AnsweredTicket> kept;
  Statement rows = database.prepare("SELECT position, jsonl, csv, text FROM triage_answers WHERE run = ?1 ORDER BY position");
  rows.bind(1, run);
  while (rows.step() && rows.integer(0) == static_cast<std::int64_t>(kept.size()))
    kept.push_back({std::string(rows.text(1)), std::string(rows.text(2)), std::string(rows.text(3)), true});
  return kept;
}

}  // namespace

std::vector<std::string> read_queries(const std::filesystem::path& file) {
  std::string text = read_text_file(file, std::size_t{256} << 20);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  std::vector<std::string> queries;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (const auto last = line.find_last_not_of(" \t\r"); last != std::string::npos) queries.push_back(line.substr(0, last + 1));
    begin = end + 1;
  }
  if (queries.empty()) throw Error(ExitCode::kBadInput, "{} holds no query; wanted is one a line", file.string());
  return queries;
}

TriageRunSummary run_triage(Desk& desk, const Answering& answering, std::span<const std::string> queries,
                            const std::function<void(std::size_t, const AnsweredTicket&)>& done) {
  std::string all = answering.fingerprint();
  for (const auto& query : queries) all += '\0' + query;
  const std::int64_t run = open_run(desk.database, sha256(all));
  const auto kept = kept_answers(desk.database, run);
  TriageRunSummary summary{
      .run = run, .answered = static_cast<std::int64_t>(queries.size() - kept.size()), .kept = static_cast<std::int64_t>(kept.size())};
  for (std::size_t i = 0; i < kept.size(); ++i) done(i, kept[i]);

  const Stopwatch watch;
  Statement keep =
      desk.database.prepare("INSERT OR REPLACE INTO triage_answers(run, position, jsonl, csv, text) VALUES(?1, ?2, ?3, ?4, ?5)");
  answering.triager().triage(queries.subspan(kept.size()), [&](std::size_t i, const Decision& decision) {
    const std::size_t position = kept.size() + i;
    const AnsweredTicket answered{jsonl_of(decision), csv_of(decision), text_of(decision), false};
    keep.bind(1, run)
        .bind(2, static_cast<std::int64_t>(position))
        .bind(3, answered.jsonl)
        .bind(4, answered.csv)
        .bind(5, answered.text)
        .run();
    done(position, answered);
  });
  summary.seconds = watch.seconds();
  return summary;
}

void finish_run(Desk& desk, const TriageRunSummary& summary) {
  desk.database.prepare("UPDATE triage_runs SET finished = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = ?1").bind(1, summary.run).run();
}

}  // namespace deskhand
