// A queue of work on one database, done on Workers, several pieces in one transaction.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/event.h"
#include "io/task_group.h"
#include "io/world.h"
#include "metadata/sqlite/database.h"

namespace om::metadata {

// On the io thread. Work that comes while a batch runs makes the next batch and shares its sync. A
// piece sees the changes of earlier ones; run() returns only after the sync.
class WriteQueue {
 public:
  // Runs on a worker. not_found, overloaded: this piece alone failed and has changed nothing. Any
  // other error undoes the whole batch.
  using Work = std::function<Result<void>(Database&)>;
  // Called after a batch that changed something: the revisions before and after, and the keys.
  using Changed = std::function<void(Revision before, std::vector<std::string> keys)>;

  WriteQueue(io::World& world, std::unique_ptr<Database> database, Changed changed);

  // `work` owns what it uses: it may still run after the caller has left (deadline_exceeded,
  // cancelled). Work that had not begun by then never begins. unavailable: stopped.
  io::Task<Result<void>> run(Work work, io::Call call);
  io::Task<void> stop();  // Finishes the running batch, fails the rest, closes the file.

  Revision revision() const { return revision_; }
  bool healthy() const { return healthy_ && !stopped_; }

 private:
  static constexpr size_t kWaitingMax = 4096;
  static constexpr size_t kBatchMax = 128;
  struct Piece;
  using Batch = std::vector<std::shared_ptr<Piece>>;

  io::Task<void> write();
  Batch take();
  static Result<std::vector<std::string>> run_batch(Database& database, Batch batch);

  io::World& world_;
  std::unique_ptr<Database> database_;
  Changed changed_;
  Revision revision_;
  bool healthy_ = true, stopped_ = false;
  std::deque<std::shared_ptr<Piece>> waiting_;
  io::Event work_, room_;
  io::TaskGroup tasks_;
};

}  // namespace om::metadata
