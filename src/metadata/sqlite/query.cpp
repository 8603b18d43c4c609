#include "metadata/sqlite/query.h"

#include "base/check.h"

namespace om::metadata {

Error sqlite_error(sqlite3* database, int code, std::string_view doing) {
  CHECK(code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC, "metadata: fsync failed");
  Errc kind = Errc::io_failed;
  const int primary = code & 0xff;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) kind = Errc::corrupt;
  if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) kind = Errc::unavailable;
  const char* what = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  return {kind, fmt::format("{}: {} (SQLite {})", doing, what, code)};
}

Query::~Query() {
  // The code of reset() repeats that of the last step, which was told there.
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::number(int64_t value) {
  const int code = sqlite3_bind_int64(statement_, ++parameters_, value);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Query& Query::bytes(std::string_view value) {
  // A null pointer would be bound as NULL.
  const char* data = value.data() != nullptr ? value.data() : "";
  const int code = sqlite3_bind_blob64(statement_, ++parameters_, data, value.size(), nullptr);
  if (code != SQLITE_OK) bind_error_ = code;
  return *this;
}

Result<bool> Query::step() {
  const int code = bind_error_ != SQLITE_OK ? bind_error_ : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail(sqlite_error(sqlite3_db_handle(statement_), code, "metadata"));
}

Result<void> Query::run() {
  TRY(const bool row, step());
  CHECK(!row, "a statement that changes answered a row");
  return {};
}

std::string Query::bytes_at(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

}  // namespace om::metadata
