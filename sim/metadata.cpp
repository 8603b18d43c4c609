#include "sim/metadata.h"

#include "base/check.h"
#include "metadata/bounds.h"

namespace om::sim {

using metadata::Commit;
using metadata::Compare;
using metadata::Entry;
using metadata::LeaseId;
using metadata::Operation;
using metadata::Revision;
using metadata::Snapshot;
using metadata::Transaction;
using Events = std::vector<metadata::Event>;

SharedMetadata::~SharedMetadata() {
  for (const auto& [id, lease] : leases_) world_.clock().cancel_timer(lease.timer);
}

void SharedMetadata::cut(const std::string& node) {
  cut_.insert(node);
  changed_.notify_all();
}

void SharedMetadata::heal(const std::string& node) {
  cut_.erase(node);
  changed_.notify_all();
}

void SharedMetadata::forget_history() {
  compacted_ = revision_;
  log_.clear();
  changed_.notify_all();
}

Snapshot SharedMetadata::all() const { return list(""); }

const SharedMetadata::Change* SharedMetadata::change(Revision revision) const {
  if (revision <= kFirstRevision || revision > revision_) return nullptr;
  return &changes_[static_cast<size_t>(revision - kFirstRevision - 1)];
}

bool SharedMetadata::holds(const Compare& compare) const {
  const auto found = entries_.find(compare.key);
  if (compare.value) return found != entries_.end() && found->second.value == *compare.value;
  return (found == entries_.end() ? 0 : found->second.modified) == *compare.modified;
}

Result<Commit> SharedMetadata::apply(const Transaction& transaction) {
  forget_requests();
  const auto known = requests_.find(transaction.request_id);
  if (!transaction.request_id.empty() && known != requests_.end()) {
    return Commit{true, known->second.revision};
  }
  for (const auto& compare : transaction.compares) {
    if (!holds(compare)) return Commit{false, revision_};
  }
  for (const auto& operation : transaction.operations) {
    if (operation.lease != 0 && !has_lease(operation.lease)) {
      return fail(Errc::not_found, "lease {} has ended", operation.lease);
    }
  }
  Events events;
  for (const auto& operation : transaction.operations) {
    if (operation.kind == Operation::Kind::put) put(operation, events);
    if (operation.kind == Operation::Kind::remove) remove(operation.key, events);
    if (operation.kind == Operation::Kind::remove_prefix) remove_prefix(operation.key, events);
  }
  end_change(std::move(events));
  if (!transaction.request_id.empty()) {
    requests_[transaction.request_id] = {revision_, world_.clock().now()};
  }
  if (world_.random().chance(faults.forget_chance)) forget_history();
  return Commit{true, revision_};
}

void SharedMetadata::forget_requests() {
  const auto before = world_.clock().now() - kRequestLife;
  std::erase_if(requests_, [&](const auto& one) { return one.second.at < before; });
}

void SharedMetadata::put(const Operation& operation, Events& events) {
  Entry& entry = entries_[operation.key];
  entry.key = operation.key;
  entry.value = operation.value;
  entry.modified = revision_ + 1;
  if (entry.version++ == 0) entry.created = entry.modified;
  entry.lease = operation.lease;
  events.push_back({false, entry});
}

void SharedMetadata::remove(const std::string& key, Events& events) {
  if (entries_.erase(key) == 0) return;
  Entry gone;
  gone.key = key;
  gone.modified = revision_ + 1;
  events.push_back({true, std::move(gone)});
}

void SharedMetadata::remove_prefix(const std::string& prefix, Events& events) {
  for (const auto& entry : list(prefix).entries) remove(entry.key, events);
}

void SharedMetadata::end_change(Events events) {
  if (events.empty()) return;
  revision_++;
  changes_.push_back({world_.clock().now(), events});
  log_.push_back(std::move(events));
  if (log_.size() > kRevisionsMax) {
    log_.pop_front();
    compacted_++;
  }
  changed_.notify_all();
}

Snapshot SharedMetadata::list(const std::string& prefix) const {
  Snapshot snapshot;
  snapshot.revision = revision_;
  for (auto at = entries_.lower_bound(prefix);
       at != entries_.end() && at->first.starts_with(prefix); ++at) {
    snapshot.entries.push_back(at->second);
  }
  return snapshot;
}

Result<Events> SharedMetadata::changes(const std::string& prefix, Revision& from) {
  if (from <= compacted_) return fail(Errc::corrupt, "changes from {} on are forgotten", from);
  Events found;
  while (from <= revision_ && found.size() < 100) {
    for (const auto& event : log_[static_cast<size_t>(from - compacted_ - 1)]) {
      if (event.entry.key.starts_with(prefix)) found.push_back(event);
    }
    from++;
  }
  return found;
}

LeaseId SharedMetadata::grant(std::chrono::seconds time_to_live) {
  const auto id = static_cast<LeaseId>(world_.random().next() >> 1 | 1);
  leases_[id].time_to_live = time_to_live;
  keep_alive(id);
  return id;
}

bool SharedMetadata::keep_alive(LeaseId id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return false;
  auto& clock = world_.clock();
  clock.cancel_timer(found->second.timer);
  found->second.timer =
      clock.start_timer(clock.now() + found->second.time_to_live, [this, id] { end_lease(id); });
  return true;
}

void SharedMetadata::end_all_leases() {
  while (!leases_.empty()) end_lease(leases_.begin()->first);
}

void SharedMetadata::end_lease(LeaseId id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return;
  world_.clock().cancel_timer(found->second.timer);
  leases_.erase(found);
  if (on_lease_end) on_lease_end(id);
  Events events;
  for (const auto& entry : all().entries) {
    if (entry.lease == id) remove(entry.key, events);
  }
  end_change(std::move(events));
}

// One node's view of it, with the network between them.
class NodeMetadata final : public metadata::Metadata {
 public:
  NodeMetadata(SharedMetadata& shared, std::string name)
      : shared_(shared), name_(std::move(name)), stopped_(std::make_shared<bool>(false)) {}
  ~NodeMetadata() override { *stopped_ = true; }

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override;
  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override;
  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override;
  io::Task<Result<LeaseId>> grant(std::chrono::seconds time_to_live, io::Call call) override;
  io::Task<Result<void>> keep_alive(LeaseId lease, io::Call call) override;
  io::Task<Result<void>> revoke(LeaseId lease, io::Call call) override;
  std::unique_ptr<metadata::Watch> watch(std::string prefix, Revision from) override;
  // As an engine knows it that asks by itself from time to time.
  bool healthy() const override {
    return shared_.world_.clock().now() >= unwell_until_ && !shared_.is_cut(name_);
  }
  io::Task<void> stop() override;

 private:
  static constexpr std::chrono::milliseconds kNoMajorityMax{1'500}, kProbeInterval{500};
  SimRandom& random() { return shared_.world_.random(); }
  io::Call within(io::Call call) {
    call.deadline = std::min(call.deadline, shared_.world_.clock().now() + metadata::kCallMax);
    return call;
  }
  io::Task<Result<void>> travel(io::Call call);
  // not_leader: it did not arrive.
  io::Task<Result<void>> arrive(io::Call call);
  // unavailable, deadline_exceeded: the answer did not come back.
  io::Task<Result<void>> come_back(io::Call call);
  // True: a change is lost on its way, which nobody can tell from a lost answer.
  bool is_lost() { return random().chance(shared_.faults.unknown_chance / 2); }

  SharedMetadata& shared_;
  const std::string name_;
  io::TimePoint unwell_until_{};
  std::shared_ptr<bool> stopped_;
};

class NodeWatch final : public metadata::Watch {
 public:
  NodeWatch(SharedMetadata& shared, std::string node, std::string prefix, Revision from,
            std::shared_ptr<const bool> stopped)
      : shared_(shared),
        node_(std::move(node)),
        prefix_(std::move(prefix)),
        next_(from),
        stopped_(std::move(stopped)) {}

  io::Task<Result<Events>> next(io::Call call) override {
    while (!*stopped_) {
      if (!shared_.is_cut(node_)) {
        CO_TRY(auto events, shared_.changes(prefix_, next_));
        if (!events.empty()) co_return events;
      }
      CO_TRY_VOID(co_await shared_.changed_.wait(call));
      // News takes its time; what it is, is looked at when it arrives.
      const auto delay = std::chrono::microseconds(
          shared_.world_.random().between(static_cast<uint64_t>(shared_.faults.delay_min.count()),
                                          static_cast<uint64_t>(shared_.faults.delay_max.count())));
      CO_TRY_VOID(co_await shared_.world_.clock().sleep_for(delay, call));
    }
    co_return fail(Errc::unavailable, "metadata is closed");
  }

 private:
  SharedMetadata& shared_;
  const std::string node_, prefix_;
  Revision next_;
  std::shared_ptr<const bool> stopped_;
};

std::unique_ptr<metadata::Metadata> SharedMetadata::node(std::string name) {
  return std::make_unique<NodeMetadata>(*this, std::move(name));
}

io::Task<Result<void>> NodeMetadata::travel(io::Call call) {
  const auto& faults = shared_.faults;
  io::Duration delay =
      std::chrono::microseconds(random().between(static_cast<uint64_t>(faults.delay_min.count()),
                                                 static_cast<uint64_t>(faults.delay_max.count())));
  if (random().chance(faults.slow_chance)) delay = faults.slow;
  co_return co_await shared_.world_.clock().sleep_for(delay, std::move(call));
}

io::Task<Result<void>> NodeMetadata::arrive(io::Call call) {
  if (*stopped_) co_return fail(Errc::unavailable, "metadata is closed");
  CO_TRY_VOID(co_await travel(call));
  const bool refused = random().chance(shared_.faults.refused_chance);
  if (!refused && !shared_.is_cut(name_)) co_return Result<void>{};
  unwell_until_ = shared_.world_.clock().now() + kNoMajorityMax + kProbeInterval;
  CO_TRY_VOID(co_await shared_.world_.clock().sleep_for(kNoMajorityMax, std::move(call)));
  co_return fail(Errc::not_leader, "no majority of the metadata can be reached");
}

io::Task<Result<void>> NodeMetadata::come_back(io::Call call) {
  auto& clock = shared_.world_.clock();
  CO_TRY_VOID(co_await travel(call));
  if (shared_.is_cut(name_)) {
    const auto slept = co_await clock.sleep_until(call.deadline, io::Call{io::kNever, call.cancel});
    if (!slept) co_return slept;
    co_return fail(Errc::deadline_exceeded, "the answer did not come");
  }
  unwell_until_ = {};
  if (is_lost()) co_return fail(Errc::unavailable, "the connection broke");
  co_return Result<void>{};
}

io::Task<Result<std::optional<Entry>>> NodeMetadata::get(std::string key, io::Call call) {
  CO_TRY_VOID(metadata::check_key(key));
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  const auto found = shared_.entries_.find(key);
  std::optional<Entry> entry;
  if (found != shared_.entries_.end()) entry = found->second;
  CO_TRY_VOID(co_await come_back(std::move(call)));
  co_return entry;
}

io::Task<Result<Snapshot>> NodeMetadata::list(std::string prefix, io::Call call) {
  CO_TRY_VOID(metadata::check_prefix(prefix));
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  auto snapshot = shared_.list(prefix);
  CO_TRY_VOID(co_await come_back(std::move(call)));
  co_return snapshot;
}

io::Task<Result<Commit>> NodeMetadata::commit(Transaction transaction, io::Call call) {
  CO_TRY_VOID(metadata::check_transaction(transaction));
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  if (is_lost()) co_return fail(Errc::unavailable, "the connection broke");
  auto done = shared_.apply(transaction);
  CO_TRY_VOID(co_await come_back(std::move(call)));
  co_return done;
}

io::Task<Result<LeaseId>> NodeMetadata::grant(std::chrono::seconds time_to_live, io::Call call) {
  CO_TRY_VOID(metadata::check_time_to_live(time_to_live));
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  if (is_lost()) co_return fail(Errc::unavailable, "the connection broke");
  const LeaseId lease = shared_.grant(time_to_live);
  CO_TRY_VOID(co_await come_back(std::move(call)));
  co_return lease;
}

io::Task<Result<void>> NodeMetadata::keep_alive(LeaseId lease, io::Call call) {
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  if (random().chance(shared_.faults.lost_lease_chance)) shared_.end_lease(lease);
  const bool kept = shared_.keep_alive(lease);
  CO_TRY_VOID(co_await come_back(std::move(call)));
  if (!kept) co_return fail(Errc::not_found, "lease {} has ended", lease);
  co_return Result<void>{};
}

io::Task<Result<void>> NodeMetadata::revoke(LeaseId lease, io::Call call) {
  call = within(std::move(call));
  CO_TRY_VOID(co_await arrive(call));
  if (is_lost()) co_return fail(Errc::unavailable, "the connection broke");
  const bool there = shared_.has_lease(lease);
  shared_.end_lease(lease);
  CO_TRY_VOID(co_await come_back(std::move(call)));
  if (!there) co_return fail(Errc::not_found, "lease {} has ended", lease);
  co_return Result<void>{};
}

std::unique_ptr<metadata::Watch> NodeMetadata::watch(std::string prefix, Revision from) {
  if (from <= 0) from = shared_.revision_ + 1;
  return std::make_unique<NodeWatch>(shared_, name_, std::move(prefix), from, stopped_);
}

io::Task<void> NodeMetadata::stop() {
  *stopped_ = true;
  shared_.changed_.notify_all();
  co_return;
}

}  // namespace om::sim
