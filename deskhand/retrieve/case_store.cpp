#include "deskhand/retrieve/case_store.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "deskhand/base/error.h"
#include "deskhand/base/sha256.h"

namespace deskhand {
namespace {

static_assert(std::endian::native == std::endian::little, "vectors are stored as little-endian float32");

// External content: FTS5 keeps only its index and reads texts from `cases`. The triggers fire only where the problem changes: a vector
// survives a new urgency, not a new text.
constexpr std::string_view kTables = R"sql(
  CREATE TABLE IF NOT EXISTS cases(
    id INTEGER PRIMARY KEY, ticket_id TEXT NOT NULL UNIQUE, problem TEXT NOT NULL, resolution TEXT NOT NULL,
    urgency INTEGER NOT NULL, category TEXT NOT NULL, content_hash TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS case_vectors(
    case_id INTEGER NOT NULL REFERENCES cases(id) ON DELETE CASCADE, encoder TEXT NOT NULL, encoder_hash TEXT NOT NULL,
    vector BLOB NOT NULL, PRIMARY KEY(case_id, encoder, encoder_hash));
  CREATE VIRTUAL TABLE IF NOT EXISTS case_words USING fts5(
    problem, content = 'cases', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2 tokenchars '_'");
  CREATE VIRTUAL TABLE IF NOT EXISTS case_word_counts USING fts5vocab('case_words', 'row');
  CREATE TRIGGER IF NOT EXISTS cases_inserted AFTER INSERT ON cases BEGIN
    INSERT INTO case_words(rowid, problem) VALUES(new.id, new.problem);
  END;
  CREATE TRIGGER IF NOT EXISTS cases_deleted AFTER DELETE ON cases BEGIN
    INSERT INTO case_words(case_words, rowid, problem) VALUES('delete', old.id, old.problem);
    DELETE FROM case_vectors WHERE case_id = old.id;
  END;
  CREATE TRIGGER IF NOT EXISTS cases_updated AFTER UPDATE OF problem ON cases WHEN old.problem IS NOT new.problem BEGIN
    INSERT INTO case_words(case_words, rowid, problem) VALUES('delete', old.id, old.problem);
    INSERT INTO case_words(rowid, problem) VALUES(new.id, new.problem);
    DELETE FROM case_vectors WHERE case_id = old.id;
  END;
)sql";
constexpr int kTableCount = 7;
constexpr std::string_view kTableNames =
    "('cases', 'case_vectors', 'case_words', 'case_word_counts', 'cases_inserted', 'cases_deleted', 'cases_updated')";
constexpr std::string_view kFields = "c.ticket_id, c.problem, c.resolution, c.urgency, c.category, c.content_hash";

std::string hash_of(const Case& item) {
  Sha256 hash;
  const auto add = [&](std::string_view field) {  // with its length: ("ab", "c") is not ("a", "bc")
    hash.update(fmt::format("{}:", field.size()));
    hash.update(field);
  };
  for (const std::string_view field : {std::string_view(item.ticket_id), std::string_view(item.problem), std::string_view(item.resolution),
                                       std::string_view(item.category)})
    add(field);
  add(fmt::format("{}", item.urgency));
  return hash.finish();
}

Case read_case(const Statement& row) {
  return {std::string(row.text(0)),         std::string(row.text(1)), std::string(row.text(2)),
          static_cast<int>(row.integer(3)), std::string(row.text(4)), std::string(row.text(5))};
}

}  // namespace

void create_case_tables(Database& database) {
  database.execute(kTables);
}

CaseStore::CaseStore(Database& database) : database_(database) {
  auto tables = database_.prepare(fmt::format("SELECT count(*) FROM sqlite_master WHERE name IN {}", kTableNames));
  if (tables.step() && tables.integer(0) == kTableCount) return;
  tables.reset();
  create_case_tables(database_);
}

std::int64_t CaseStore::upsert(std::span<const Case> cases) {
  Transaction transaction(database_);
  const auto before = count();
  auto put = database_.prepare(
      "INSERT INTO cases(ticket_id, problem, resolution, urgency, category, content_hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6) "
      "ON CONFLICT(ticket_id) DO UPDATE SET problem = excluded.problem, resolution = excluded.resolution, urgency = excluded.urgency, "
      "category = excluded.category, content_hash = excluded.content_hash WHERE content_hash <> excluded.content_hash");
  std::int64_t changed = 0;
  for (const Case& item : cases) {
    if (item.ticket_id.empty()) throw Error(ExitCode::kBadInput, "a case has no ticket id; every case needs one, unlike all others");
    if (item.urgency < 0 || item.urgency > 5)
      throw Error(ExitCode::kBadInput, "case {}: urgency {}; 1 to 5 are known, 0 means none", item.ticket_id, item.urgency);
    put.bind(1, item.ticket_id).bind(2, item.problem).bind(3, item.resolution).bind(4, item.urgency).bind(5, item.category);
    put.bind(6, hash_of(item)).run();
    changed += database_.changes();
  }
  if (changed > count() - before) rebuild_words();  // a text gave way to another
  transaction.commit();
  return changed;
}

// The word index only notes what went: until it is made anew the words themselves stay in it.
void CaseStore::rebuild_words() {
  database_.execute("INSERT INTO case_words(case_words) VALUES('rebuild')");
}

std::int64_t CaseStore::remove(std::span<const std::string> ticket_ids) {
  Transaction transaction(database_);
  auto drop = database_.prepare("DELETE FROM cases WHERE ticket_id = ?1");
  std::int64_t removed = 0;
  for (const std::string& id : ticket_ids) {
    drop.bind(1, id).run();
    removed += database_.changes();
  }
  if (removed > 0) rebuild_words();
  transaction.commit();
  return removed;
}

std::int64_t CaseStore::keep_only(std::span<const std::string> ticket_ids) {
  const std::unordered_set<std::string_view> kept(ticket_ids.begin(), ticket_ids.end());
  std::vector<std::string> others;
  auto ids = database_.prepare("SELECT ticket_id FROM cases");
  while (ids.step())
    if (!kept.contains(ids.text(0))) others.emplace_back(ids.text(0));
  return remove(others);
}

std::int64_t CaseStore::count() {
  auto count = database_.prepare("SELECT count(*) FROM cases");
  count.step();
  return count.integer(0);
}

std::optional<Case> CaseStore::find(std::string_view ticket_id) {
  auto row = database_.prepare(fmt::format("SELECT {} FROM cases c WHERE c.ticket_id = ?1", kFields));
  row.bind(1, ticket_id);
  if (!row.step()) return std::nullopt;
  return read_case(row);
}

void CaseStore::each(const std::function<void(const Case&)>& visit) {
  auto rows = database_.prepare(fmt::format("SELECT {} FROM cases c ORDER BY c.ticket_id", kFields));
  while (rows.step()) visit(read_case(rows));
}

std::vector<Case> CaseStore::without_vector(const EncoderId& encoder, std::int64_t limit, std::string_view after) {
  auto rows = database_.prepare(
      fmt::format("SELECT {} FROM cases c WHERE c.ticket_id > ?4 AND NOT EXISTS (SELECT 1 FROM case_vectors v WHERE v.case_id = c.id AND "
                  "v.encoder = ?1 AND v.encoder_hash = ?2) ORDER BY c.ticket_id LIMIT ?3",
                  kFields));
  rows.bind(1, encoder.name).bind(2, encoder.hash).bind(3, std::max<std::int64_t>(limit, 0)).bind(4, after);
  std::vector<Case> cases;
  while (rows.step()) cases.push_back(read_case(rows));
  return cases;
}

std::int64_t CaseStore::count_without_vector(const EncoderId& encoder) {
  auto row = database_.prepare(
      "SELECT (SELECT count(*) FROM cases) - (SELECT count(*) FROM case_vectors WHERE encoder = ?1 AND encoder_hash = ?2)");
  row.bind(1, encoder.name).bind(2, encoder.hash).step();
  return row.integer(0);
}

std::int64_t CaseStore::put_vectors(const EncoderId& encoder, std::span<const Case> cases, std::span<const float> vectors) {
  if (cases.empty()) return 0;
  if (vectors.empty() || vectors.size() % cases.size() != 0)
    throw Error(ExitCode::kBadInput, "{} values for the vectors of {} cases; every case needs one vector of the same width", vectors.size(),
                cases.size());
  const std::size_t width = vectors.size() / cases.size();
  for (std::size_t i = 0; i < vectors.size(); ++i)
    if (!std::isfinite(vectors[i]))
      throw Error(ExitCode::kBadInput, "the vector of case {} holds a value that is not finite; the encoder failed on its text",
                  cases[i / width].ticket_id);

  Transaction transaction(database_);
  auto present = database_.prepare("SELECT length(vector) FROM case_vectors WHERE encoder = ?1 AND encoder_hash = ?2 LIMIT 1");
  present.bind(1, encoder.name).bind(2, encoder.hash);
  if (present.step() && present.integer(0) != static_cast<std::int64_t>(width * sizeof(float)))
    throw Error(ExitCode::kBadInput, "vectors of width {} for encoder {}, whose vectors here have width {}; drop those first", width,
                encoder.name, present.integer(0) / static_cast<std::int64_t>(sizeof(float)));
  present.reset();
  auto put = database_.prepare(
      "INSERT OR REPLACE INTO case_vectors(case_id, encoder, encoder_hash, vector) "
      "SELECT id, ?3, ?4, ?5 FROM cases WHERE ticket_id = ?1 AND content_hash = ?2");
  std::int64_t stored = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    put.bind(1, cases[i].ticket_id).bind(2, cases[i].content_hash).bind(3, encoder.name).bind(4, encoder.hash);
    put.bind_blob(5, std::as_bytes(vectors.subspan(i * width, width))).run();
    stored += database_.changes();
  }
  transaction.commit();
  return stored;
}

CaseVectors CaseStore::load_vectors(const EncoderId& encoder) {
  CaseVectors found;
  auto count = database_.prepare("SELECT count(*) FROM case_vectors WHERE encoder = ?1 AND encoder_hash = ?2");
  count.bind(1, encoder.name).bind(2, encoder.hash).step();
  const std::int64_t expected = count.integer(0);
  count.reset();
  auto rows = database_.prepare(
      "SELECT c.ticket_id, v.vector FROM case_vectors v JOIN cases c ON c.id = v.case_id WHERE v.encoder = ?1 AND v.encoder_hash = ?2 "
      "ORDER BY c.ticket_id");
  rows.bind(1, encoder.name).bind(2, encoder.hash);
  while (rows.step()) {
    const auto bytes = rows.blob(1);
    if (found.count == 0) {
      found.width = static_cast<std::int64_t>(bytes.size() / sizeof(float));
      found.matrix.reserve(static_cast<std::size_t>(expected * found.width));
      found.ticket_ids.reserve(static_cast<std::size_t>(expected));
    }
    if (bytes.empty() || bytes.size() != static_cast<std::size_t>(found.width) * sizeof(float))
      throw Error(ExitCode::kBadInput, "the vector of case {} has {} bytes where encoder {} has {} values of 4; embed the cases anew",
                  rows.text(0), bytes.size(), encoder.name, found.width);
    const std::size_t at = found.matrix.size();
    found.matrix.resize(at + static_cast<std::size_t>(found.width));
    std::memcpy(found.matrix.data() + at, bytes.data(), bytes.size());
    found.ticket_ids.emplace_back(rows.text(0));
    ++found.count;
  }
  return found;
}

std::vector<EncoderId> CaseStore::encoders() {
  auto rows = database_.prepare("SELECT DISTINCT encoder, encoder_hash FROM case_vectors ORDER BY encoder, encoder_hash");
  std::vector<EncoderId> found;
  while (rows.step()) found.push_back({std::string(rows.text(0)), std::string(rows.text(1))});
  return found;
}

std::int64_t CaseStore::drop_vectors(const EncoderId& encoder) {
  auto drop = database_.prepare("DELETE FROM case_vectors WHERE encoder = ?1 AND encoder_hash = ?2");
  drop.bind(1, encoder.name).bind(2, encoder.hash).run();
  return database_.changes();
}

}  // namespace deskhand
