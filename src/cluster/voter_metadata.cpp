#include "cluster/voter_metadata.h"

#include <algorithm>

#include "io/cancel.h"
#include "metadata/watch_while_well.h"

namespace om::cluster {
namespace {

using metadata::Commit;
using metadata::Entry;
using metadata::Event;
using metadata::LeaseId;
using metadata::Revision;
using metadata::Snapshot;
using metadata::Transaction;

// A stay at the other voters. It ends when `own` is well again.
class Stay {
 public:
  Stay(io::Clock& clock, const metadata::Metadata& own) : clock_(clock), own_(own) { look(); }
  ~Stay() {
    if (timer_ != 0) clock_.cancel_timer(timer_);
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;

  void end() { source_.cancel(); }
  // One for all of it: a remote watch holds to the token that it was opened with.
  io::CancelToken token() const { return source_.token(); }

 private:
  void look() {
    timer_ = 0;
    if (own_.healthy()) return end();
    timer_ = clock_.start_timer(clock_.now() + metadata::kWellLook, [this] { look(); });
  }

  io::Clock& clock_;
  const metadata::Metadata& own_;
  io::CancelSource source_;
  io::Clock::TimerId timer_ = 0;
};

}  // namespace

// Goes on at the other voters when this one's engine is gone, and comes back with it.
class VoterWatch final : public metadata::Watch {
 public:
  VoterWatch(VoterMetadata& metadata, std::string prefix, Revision from)
      : metadata_(metadata), prefix_(std::move(prefix)), next_(from) {
    go(can_leave() && !metadata_.own_.healthy());
  }

  io::Task<Result<std::vector<Event>>> next(io::Call call) override {
    while (true) {
      auto waiting = is_elsewhere_ ? next_elsewhere(call) : next_own(call);
      auto events = co_await std::move(waiting);
      if (!events) co_return events;
      if (events->empty()) continue;  // It has moved.
      for (const Event& event : *events) next_ = std::max(next_, event.entry.modified + 1);
      co_return events;
    }
  }

 private:
  bool can_leave() const { return next_ > 0 && metadata_.are_others_well_(); }
  void go(bool elsewhere) {
    is_elsewhere_ = elsewhere;
    stay_.reset();
    well_ = metadata_.world_.clock.now();
    auto& engine = elsewhere ? *metadata_.others_ : metadata_.own_;
    watch_ = engine.watch(prefix_, next_);
  }

  // Both: empty after a move.
  io::Task<Result<std::vector<Event>>> next_own(io::Call call) {
    while (true) {
      auto events = co_await metadata::next_while_well(metadata_.world_.clock, metadata_.own_,
                                                       *watch_, well_, call);
      if (!events) co_return fail(std::move(events).error());
      if (*events) co_return std::move(**events);
      if (can_leave()) break;  // Else it waits on, and looks again.
    }
    go(true);
    co_return std::vector<Event>();
  }
  io::Task<Result<std::vector<Event>>> next_elsewhere(io::Call call) {
    if (!stay_) stay_ = std::make_unique<Stay>(metadata_.world_.clock, metadata_.own_);
    const io::OnCancel on_caller(call.cancel, [this] { stay_->end(); });
    auto events = co_await watch_->next({call.deadline, stay_->token()});
    if (events || !stay_->token().cancelled()) co_return events;
    go(call.cancel.cancelled());
    if (is_elsewhere_) co_return events;
    co_return std::vector<Event>();
  }

  VoterMetadata& metadata_;
  std::string prefix_;
  Revision next_;
  bool is_elsewhere_ = false;
  std::unique_ptr<Stay> stay_;
  io::TimePoint well_{};  // When this voter's engine was last, or was gone back to.
  std::unique_ptr<metadata::Watch> watch_;
};

VoterMetadata::VoterMetadata(io::World& world, Metadata& own, std::unique_ptr<Metadata> others,
                             std::function<bool()> are_others_well)
    : world_(world),
      own_(own),
      others_(std::move(others)),
      are_others_well_(std::move(are_others_well)) {}

template <typename T, typename Ask>
io::Task<Result<T>> VoterMetadata::ask(Ask ask, io::Call call) {
  if (call.deadline == io::kNever) call.deadline = world_.clock.now() + metadata::kCallMax;
  const bool own_first = own_.healthy() || !are_others_well_();
  auto asked = ask(own_first ? own_ : *others_, call);
  auto done = co_await std::move(asked);
  if (done || done.error().code != Errc::not_leader || call.cancel.cancelled()) co_return done;
  if (own_first && !are_others_well_()) co_return done;
  auto asked_again = ask(own_first ? *others_ : own_, call);
  auto again = co_await std::move(asked_again);
  // What the first one says of its majority is the whole truth where the other has none either.
  if (!again && again.error().code == Errc::not_leader) co_return done;
  co_return again;
}

io::Task<Result<std::optional<Entry>>> VoterMetadata::get(std::string key, io::Call call) {
  return ask<std::optional<Entry>>(
      [key = std::move(key)](Metadata& engine, io::Call within) {
        return engine.get(key, std::move(within));
      },
      std::move(call));
}

io::Task<Result<Snapshot>> VoterMetadata::list(std::string prefix, io::Call call) {
  return ask<Snapshot>(
      [prefix = std::move(prefix)](Metadata& engine, io::Call within) {
        return engine.list(prefix, std::move(within));
      },
      std::move(call));
}

io::Task<Result<Commit>> VoterMetadata::commit(Transaction transaction, io::Call call) {
  return ask<Commit>(
      [transaction = std::move(transaction)](Metadata& engine, io::Call within) {
        return engine.commit(transaction, std::move(within));
      },
      std::move(call));
}

io::Task<Result<LeaseId>> VoterMetadata::grant(std::chrono::seconds time_to_live, io::Call call) {
  return ask<LeaseId>(
      [time_to_live](Metadata& engine, io::Call within) {
        return engine.grant(time_to_live, std::move(within));
      },
      std::move(call));
}

io::Task<Result<void>> VoterMetadata::keep_alive(LeaseId lease, io::Call call) {
  return ask<void>([lease](Metadata& engine,
                           io::Call within) { return engine.keep_alive(lease, std::move(within)); },
                   std::move(call));
}

io::Task<Result<void>> VoterMetadata::revoke(LeaseId lease, io::Call call) {
  return ask<void>([lease](Metadata& engine,
                           io::Call within) { return engine.revoke(lease, std::move(within)); },
                   std::move(call));
}

std::unique_ptr<metadata::Watch> VoterMetadata::watch(std::string prefix, Revision from) {
  return std::make_unique<VoterWatch>(*this, std::move(prefix), from);
}

}  // namespace om::cluster
