// SQLite's C interface (https://www.sqlite.org/c3ref/intro.html) with owners and our errors.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om::metadata {

// Our error for a result code of SQLite. corrupt: not a database, or damaged. unavailable: another
// process has it. io_failed: the rest. A failed fsync aborts the program: the disk's state is
// unknown then, and a restart reads it again.
Error sqlite_error(sqlite3* database, int code, std::string_view doing);

struct StatementClose {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementClose>;

// One run of a prepared statement; destroying it frees the statement for the next run. Parameters
// are bound in order; what they point to must live as long as this.
class Query {
 public:
  explicit Query(sqlite3_stmt* statement) : statement_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& number(int64_t value);
  Query& bytes(std::string_view value);

  Result<bool> step();  // True: there is a row.
  Result<void> run();   // For statements without rows.

  int64_t number_at(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string bytes_at(int column) const;

 private:
  sqlite3_stmt* statement_;
  int parameters_ = 0;
  int bind_error_ = SQLITE_OK;
};

}  // namespace om::metadata
