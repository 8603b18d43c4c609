#include "metadata/sqlite/sqlite_metadata.h"

#include "base/check.h"
#include "base/log.h"
#include "metadata/bounds.h"
#include "metadata/sqlite/write_queue.h"

namespace om::metadata {
namespace {

constexpr size_t kLeasesMax = 100'000;

class SqliteMetadata;

// Shared by the Watch and the engine that wakes it.
struct WatchState {
  WatchState(io::Clock& clock, SqliteMetadata& the_engine, std::string the_prefix, Revision from)
      : engine(&the_engine), prefix(std::move(the_prefix)), next(from), changed(clock) {}
  SqliteMetadata* engine;  // Null: it was closed.
  std::string prefix;
  Revision next;  // All before it was told, or was not ours.
  io::Event changed;
};

class SqliteMetadata final : public Metadata {
 public:
  SqliteMetadata(io::World& world, std::unique_ptr<Database> database,
                 const std::vector<Database::Lease>& leases);

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override;
  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override;
  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override;
  io::Task<Result<LeaseId>> grant(std::chrono::seconds time_to_live, io::Call call) override;
  io::Task<Result<void>> keep_alive(LeaseId lease, io::Call call) override;
  io::Task<Result<void>> revoke(LeaseId lease, io::Call call) override;
  std::unique_ptr<Watch> watch(std::string prefix, Revision from) override;
  bool healthy() const override { return queue_.healthy(); }
  io::Task<void> stop() override;

  Revision revision() const { return queue_.revision(); }
  io::Task<Result<Database::Changes>> changes(std::string prefix, Revision from, io::Call call);

 private:
  struct Lease {
    std::chrono::seconds time_to_live{};
    io::TimePoint end{};
  };

  io::Call within(io::Call call) const {
    return world_.clock.call_within(kCallMax, std::move(call));
  }
  int64_t elapsed_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(world_.clock.now() - opened_)
        .count();
  }
  bool alive(LeaseId lease) const {
    const auto found = leases_.find(lease);
    return found != leases_.end() && found->second.end > world_.clock.now();
  }
  void tell(Revision before, const std::vector<std::string>& keys);
  io::Task<void> end_leases();
  io::Task<void> end_lease(LeaseId lease);

  io::World& world_;
  io::TimePoint opened_;
  std::map<LeaseId, Lease> leases_;
  std::vector<std::weak_ptr<WatchState>> watches_;
  io::Event leases_changed_;
  WriteQueue queue_;
  io::TaskGroup tasks_;
};

class SqliteWatch final : public Watch {
 public:
  explicit SqliteWatch(std::shared_ptr<WatchState> state) : state_(std::move(state)) {}

  io::Task<Result<std::vector<Event>>> next(io::Call call) override {
    while (state_->engine != nullptr) {
      if (state_->next > state_->engine->revision()) {
        CO_TRY_VOID(co_await state_->changed.wait(call));
        continue;
      }
      CO_TRY(auto changes, co_await state_->engine->changes(state_->prefix, state_->next, call));
      if (changes.compacted) {
        co_return fail(Errc::corrupt, "changes from revision {} on are forgotten", state_->next);
      }
      state_->next = changes.through + 1;
      if (!changes.events.empty()) co_return std::move(changes.events);
    }
    co_return fail(Errc::unavailable, "metadata is closed");
  }

 private:
  std::shared_ptr<WatchState> state_;
};

SqliteMetadata::SqliteMetadata(io::World& world, std::unique_ptr<Database> database,
                               const std::vector<Database::Lease>& leases)
    : world_(world),
      opened_(world.clock.now()),
      leases_changed_(world.clock),
      queue_(world, std::move(database),
             [this](Revision before, const std::vector<std::string>& keys) { tell(before, keys); }),
      tasks_(world.executor, world.clock) {
  for (const auto& [id, time_to_live] : leases) {
    leases_[id] = {time_to_live, opened_ + time_to_live};
  }
  tasks_.spawn(end_leases());
}

io::Task<Result<std::optional<Entry>>> SqliteMetadata::get(std::string key, io::Call call) {
  CO_TRY_VOID(check_key(key));
  auto found = std::make_shared<std::optional<Entry>>();
  WriteQueue::Work work = [found, key = std::move(key)](Database& database) -> Result<void> {
    TRY(*found, database.get(key));
    return {};
  };
  CO_TRY_VOID(co_await queue_.run(std::move(work), within(std::move(call))));
  co_return std::move(*found);
}

io::Task<Result<Snapshot>> SqliteMetadata::list(std::string prefix, io::Call call) {
  CO_TRY_VOID(check_prefix(prefix));
  auto found = std::make_shared<Snapshot>();
  WriteQueue::Work work = [found, prefix = std::move(prefix)](Database& database) -> Result<void> {
    TRY(*found, database.list(prefix));
    return {};
  };
  CO_TRY_VOID(co_await queue_.run(std::move(work), within(std::move(call))));
  co_return std::move(*found);
}

io::Task<Result<Commit>> SqliteMetadata::commit(Transaction transaction, io::Call call) {
  CO_TRY_VOID(check_transaction(transaction));
  for (const auto& operation : transaction.operations) {
    if (operation.lease != 0 && !alive(operation.lease)) {
      co_return fail(Errc::not_found, "lease {} has ended", operation.lease);
    }
  }
  auto done = std::make_shared<Commit>();
  WriteQueue::Work work = [done, transaction = std::move(transaction),
                           now = elapsed_ms()](Database& database) -> Result<void> {
    TRY(*done, database.apply(transaction, now));
    return {};
  };
  CO_TRY_VOID(co_await queue_.run(std::move(work), within(std::move(call))));
  co_return *done;
}

io::Task<Result<LeaseId>> SqliteMetadata::grant(std::chrono::seconds time_to_live, io::Call call) {
  CO_TRY_VOID(check_time_to_live(time_to_live));
  if (leases_.size() >= kLeasesMax) co_return fail(Errc::overloaded, "too many leases");
  const auto id = static_cast<LeaseId>(world_.random.next() >> 1 | 1);
  WriteQueue::Work work = [id, time_to_live](Database& database) {
    return database.add_lease({id, time_to_live});
  };
  // Known before it is written, so that one whose caller has left ends too.
  leases_[id] = {time_to_live, world_.clock.now() + time_to_live + kCallMax};
  auto granted = co_await queue_.run(std::move(work), within(std::move(call)));
  if (granted) leases_[id].end = world_.clock.now() + time_to_live;
  leases_changed_.notify_all();
  if (!granted) co_return fail(granted.error());
  co_return id;
}

io::Task<Result<void>> SqliteMetadata::keep_alive(LeaseId lease, io::Call call) {
  if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
  if (!healthy()) co_return fail(Errc::unavailable, "metadata can not be written");
  if (!alive(lease)) co_return fail(Errc::not_found, "lease {} has ended", lease);
  auto& kept = leases_[lease];
  kept.end = world_.clock.now() + kept.time_to_live;
  co_return Result<void>{};
}

io::Task<Result<void>> SqliteMetadata::revoke(LeaseId lease, io::Call call) {
  WriteQueue::Work work = [lease](Database& database) { return database.end_lease(lease); };
  auto ended = co_await queue_.run(std::move(work), within(std::move(call)));
  if (ended || ended.error().code == Errc::not_found) leases_.erase(lease);
  co_return ended;
}

std::unique_ptr<Watch> SqliteMetadata::watch(std::string prefix, Revision from) {
  if (from <= 0) from = revision() + 1;
  auto state = std::make_shared<WatchState>(world_.clock, *this, std::move(prefix), from);
  std::erase_if(watches_, [](const auto& watch) { return watch.expired(); });
  watches_.push_back(state);
  return std::make_unique<SqliteWatch>(std::move(state));
}

io::Task<Result<Database::Changes>> SqliteMetadata::changes(std::string prefix, Revision from,
                                                            io::Call call) {
  auto found = std::make_shared<Database::Changes>();
  WriteQueue::Work work = [found, prefix = std::move(prefix),
                           from](Database& database) -> Result<void> {
    TRY(*found, database.changes(prefix, from));
    return {};
  };
  CO_TRY_VOID(co_await queue_.run(std::move(work), std::move(call)));
  co_return std::move(*found);
}

void SqliteMetadata::tell(Revision before, const std::vector<std::string>& keys) {
  for (const auto& weak : watches_) {
    const auto watch = weak.lock();
    if (!watch) continue;
    const bool ours = std::ranges::any_of(
        keys, [&](const std::string& key) { return key.starts_with(watch->prefix); });
    if (!ours && watch->next == before + 1) {
      watch->next = revision() + 1;  // Nothing to read for this one.
      continue;
    }
    watch->changed.notify_all();
  }
}

io::Task<void> SqliteMetadata::end_leases() {
  while (!tasks_.token().cancelled()) {
    io::Call call{io::kNever, tasks_.token()};
    std::vector<LeaseId> ended;
    for (const auto& [id, lease] : leases_) {
      if (lease.end <= world_.clock.now()) ended.push_back(id);
      call.deadline = std::min(call.deadline, lease.end);
    }
    for (const LeaseId id : ended) co_await end_lease(id);
    // Woken by a new lease, or by the end of the first; stop() cancels.
    if (ended.empty()) (void)co_await leases_changed_.wait(std::move(call));
  }
}

io::Task<void> SqliteMetadata::end_lease(LeaseId lease) {
  constexpr std::chrono::seconds kAgainAfter{1};
  if (alive(lease)) co_return;
  io::Call call{world_.clock.now() + kCallMax, tasks_.token()};
  WriteQueue::Work work = [lease](Database& database) { return database.end_lease(lease); };
  const auto done = co_await queue_.run(std::move(work), call);
  if (done || done.error().code == Errc::not_found) {
    leases_.erase(lease);
    co_return;
  }
  if (done.error().code == Errc::cancelled) co_return;
  log_warn("an ended lease is still written", field("lease", lease), field("error", done.error()));
  (void)co_await world_.clock.sleep_for(kAgainAfter, std::move(call));  // Then it is tried again.
}

io::Task<void> SqliteMetadata::stop() {
  co_await tasks_.stop();
  co_await queue_.stop();
  for (const auto& weak : watches_) {
    const auto watch = weak.lock();
    if (!watch) continue;
    watch->engine = nullptr;
    watch->changed.notify_all();
  }
}

}  // namespace

io::Task<Result<std::unique_ptr<Metadata>>> open_sqlite(io::World& world, io::Path file,
                                                        SqliteOptions options) {
  Database::Limits limits;
  limits.event_revisions_max = options.event_revisions_max;
  limits.event_bytes_max = options.event_bytes_max;
  using Opened = Result<std::pair<std::unique_ptr<Database>, std::vector<Database::Lease>>>;
  auto open = [&world, file = std::move(file), limits]() -> Opened {
    if (file != ":memory:") {
      // It holds the digests of keys: nobody else reads it, not even while it is new.
      {
        TRY(const auto made, world.files.open(file, io::Filesystem::Open::create));
      }
      TRY_VOID(world.files.set_mode(file, 0600));
    }
    TRY(auto database, Database::open(file, limits));
    TRY(auto leases, database->leases());
    return std::pair(std::move(database), std::move(leases));
  };
  auto opened = co_await world.workers.run(std::move(open));
  if (!opened) co_return fail(opened.error());
  co_return std::make_unique<SqliteMetadata>(world, std::move(opened->first), opened->second);
}

}  // namespace om::metadata
