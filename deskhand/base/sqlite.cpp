#include "deskhand/base/sqlite.h"

#include <sqlite3.h>

#include "deskhand/base/error.h"

namespace deskhand {
namespace {

[[noreturn]] void throw_sqlite(sqlite3* handle, const std::filesystem::path& path) {
  const int status = sqlite3_errcode(handle);
  const auto code = [&] {
    switch (status) {
      case SQLITE_READONLY:
      case SQLITE_FULL:
      case SQLITE_IOERR:
      case SQLITE_PERM:
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return ExitCode::kCannotWrite;
      case SQLITE_CANTOPEN:
        return ExitCode::kNotFound;
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT:
        return ExitCode::kBadInput;
      case SQLITE_NOMEM:
      case SQLITE_TOOBIG:
        return ExitCode::kTooLarge;
      default:
        return ExitCode::kInternal;
    }
  }();
  throw Error(code, "database {}: {}", path.string(), sqlite3_errmsg(handle));
}

[[noreturn]] void throw_sqlite(sqlite3_stmt* statement) {
  sqlite3* handle = sqlite3_db_handle(statement);
  const char* name = sqlite3_db_filename(handle, "main");
  throw_sqlite(handle, name ? name : "");
}

void check(sqlite3_stmt* statement, int status) {
  if (status != SQLITE_OK) throw_sqlite(statement);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}
void Database::Close::operator()(sqlite3* handle) const noexcept {
  sqlite3_close_v2(handle);
}

Statement& Statement::bind(int index, std::string_view text) {
  check(statement_.get(),
        sqlite3_bind_text64(statement_.get(), index, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int index, std::int64_t value) {
  check(statement_.get(), sqlite3_bind_int64(statement_.get(), index, value));
  return *this;
}

Statement& Statement::bind(int index, double value) {
  check(statement_.get(), sqlite3_bind_double(statement_.get(), index, value));
  return *this;
}

Statement& Statement::bind_blob(int index, std::span<const std::byte> bytes) {
  check(statement_.get(), sqlite3_bind_blob64(statement_.get(), index, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::bind_null(int index) {
  check(statement_.get(), sqlite3_bind_null(statement_.get(), index));
  return *this;
}

bool Statement::step() {
  const int status = sqlite3_step(statement_.get());
  if (status != SQLITE_ROW && status != SQLITE_DONE) throw_sqlite(statement_.get());
  return status == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {}
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return data ? std::string_view(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))) : std::string_view();
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
double Statement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Database::Database(const std::filesystem::path& path, Mode mode) : path_(path) {
  const int flags =
      mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | (mode == Mode::kCreate ? SQLITE_OPEN_CREATE : 0);
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (!handle_) throw Error(ExitCode::kTooLarge, "database {}: out of memory", path.string());
  if (status != SQLITE_OK) throw_sqlite(handle, path);
  sqlite3_busy_timeout(handle, 10000);
  if (mode != Mode::kReadOnly) execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON");
  execute("PRAGMA foreign_keys = ON");
  prepare("SELECT count(*) FROM sqlite_master").step();  // a file that is no database shows itself here, not at the first query
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK)
    throw_sqlite(handle_.get(), path_);
  return Statement(statement);
}

void Database::execute(std::string_view sql) {
  if (sqlite3_exec(handle_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) throw_sqlite(handle_.get(), path_);
}

std::int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(handle_.get());
}
std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.execute("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself, for example on a full disk
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace deskhand
