#include "metadata/sqlite/write_queue.h"

#include "base/log.h"

namespace om::metadata {
namespace {

bool is_own(Errc code) { return code == Errc::not_found || code == Errc::overloaded; }

}  // namespace

struct WriteQueue::Piece {
  Piece(io::Clock& clock, Work the_work) : work(std::move(the_work)), ended(clock) {}
  Work work;
  bool begun = false, wanted = true, done = false;  // Of the io thread.
  Result<void> result;                              // Of the worker until `done`.
  io::Event ended;
};

WriteQueue::WriteQueue(io::World& world, std::unique_ptr<Database> database, Changed changed)
    : world_(world),
      database_(std::move(database)),
      changed_(std::move(changed)),
      revision_(database_->revision()),
      work_(world.clock),
      room_(world.clock),
      tasks_(world.executor, world.clock) {
  tasks_.spawn(write());
}

io::Task<Result<void>> WriteQueue::run(Work work, io::Call call) {
  while (waiting_.size() >= kWaitingMax && !stopped_) CO_TRY_VOID(co_await room_.wait(call));
  if (stopped_) co_return fail(Errc::unavailable, "metadata is closed");
  auto piece = std::make_shared<Piece>(world_.clock, std::move(work));
  waiting_.push_back(piece);
  work_.notify_one();
  while (!piece->done) {
    auto waited = co_await piece->ended.wait(call);
    if (waited) continue;
    piece->wanted = false;
    co_return waited;
  }
  co_return std::move(piece->result);
}

WriteQueue::Batch WriteQueue::take() {
  Batch batch;
  while (!waiting_.empty() && batch.size() < kBatchMax) {
    auto piece = std::move(waiting_.front());
    waiting_.pop_front();
    if (piece->wanted) batch.push_back(std::move(piece));
  }
  room_.notify_all();
  return batch;
}

io::Task<void> WriteQueue::write() {
  while (!stopped_) {
    const Batch batch = take();
    if (batch.empty()) {
      // stop() notifies too; without deadline or token there is no other end.
      (void)co_await work_.wait();
      continue;
    }
    auto work = [database = database_.get(), batch] { return run_batch(*database, batch); };
    auto keys = co_await world_.workers.run(std::move(work));
    healthy_ = keys.has_value();
    if (!keys) log_error("metadata write failed", field("error", keys.error()));
    const Revision before = std::exchange(revision_, database_->revision());
    if (keys && !keys->empty()) changed_(before, std::move(*keys));
    for (const auto& piece : batch) {
      piece->done = true;
      piece->ended.notify_all();
    }
  }
}

Result<std::vector<std::string>> WriteQueue::run_batch(Database& database, Batch batch) {
  Result<void> all = database.begin();
  for (size_t i = 0; i < batch.size() && all; i++) {
    batch[i]->result = batch[i]->work(database);
    if (batch[i]->result || is_own(batch[i]->result.error().code)) continue;
    all = batch[i]->result;
  }
  if (all) all = database.commit();
  if (all) return database.take_changed_keys();
  database.rollback();
  for (const auto& piece : batch) piece->result = all;
  return fail(all.error());
}

io::Task<void> WriteQueue::stop() {
  stopped_ = true;
  work_.notify_all();
  room_.notify_all();
  co_await tasks_.wait();
  for (const auto& piece : std::exchange(waiting_, {})) {
    piece->result = fail(Errc::unavailable, "metadata is closed");
    piece->done = true;
    piece->ended.notify_all();
  }
  // Closing writes the log back into the file.
  auto close = [this] {
    database_.reset();
    return true;
  };
  (void)co_await world_.workers.run(std::move(close));
}

}  // namespace om::metadata
