#include "transfer/pull_lease.h"

#include "base/log.h"

namespace om::transfer {
namespace {

using metadata::Compare;
using metadata::Operation;

constexpr std::chrono::seconds kKeepAliveEvery{3};
constexpr std::chrono::seconds kRevokeMax{2};

}  // namespace

PullLease::PullLease(io::World& world, metadata::Metadata& metadata, const Digest& digest,
                     std::string node)
    : world_(world),
      metadata_(metadata),
      key_("/pulls/" + digest.str()),
      node_(std::move(node)),
      tasks_(world.executor, world.clock) {}

bool PullLease::holds_lease() const {
  return lease_ != 0 && world_.clock.now() < good_until_ - kPullLeaseMargin;
}

bool PullLease::is_origin() const { return origin_ && holds_lease(); }

io::Task<Result<void>> PullLease::announce(io::Call call) {
  if (holds_lease()) co_return Result<void>{};
  origin_ = false;
  const io::TimePoint asked = world_.clock.now();
  CO_TRY(const auto lease, co_await metadata_.grant(kPullLease, call));
  metadata::Transaction transaction;
  transaction.operations = {Operation::put(key_ + "/nodes/" + node_, "", lease)};
  CO_TRY_VOID(co_await metadata_.commit(std::move(transaction), call));
  lease_ = lease;
  good_until_ = asked + kPullLease;
  if (!keeping_) {
    keeping_ = true;
    tasks_.spawn(keep_alive());
  }
  co_return Result<void>{};
}

io::Task<Result<bool>> PullLease::try_origin(io::Call call) {
  if (is_origin()) co_return true;
  CO_TRY_VOID(co_await announce(call));
  metadata::Transaction transaction;
  transaction.compares = {Compare::absent(key_)};
  transaction.operations = {Operation::put(key_, node_, lease_)};
  CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), call));
  origin_ = commit.done;
  if (!origin_) {
    CO_TRY(const auto held, co_await metadata_.get(key_, call));
    if (held && held->value == node_) {
      CO_TRY(origin_, co_await take_over(*held, call));
    }
  }
  if (origin_) log_info("drawing from the registry", field("pull", key_), field("node", node_));
  co_return is_origin();
}

// From this node: an earlier answer was lost on its way, or an earlier pull left it.
io::Task<Result<bool>> PullLease::take_over(metadata::Entry held, io::Call call) {
  if (held.lease == lease_) co_return true;
  metadata::Transaction transaction;
  transaction.compares = {Compare::unchanged(held)};
  transaction.operations = {Operation::put(key_, node_, lease_)};
  CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), std::move(call)));
  co_return commit.done;
}

io::Task<void> PullLease::yield_origin(io::Call call) {
  if (!std::exchange(origin_, false)) co_return;
  metadata::Transaction transaction;
  transaction.compares = {Compare::equals(key_, node_)};
  transaction.operations = {Operation::remove(key_)};
  const auto commit = co_await metadata_.commit(std::move(transaction), std::move(call));
  if (!commit) log_debug("pull not yielded", field("pull", key_), field("error", commit.error()));
}

io::Task<Result<std::vector<std::string>>> PullLease::others(io::Call call) {
  const std::string prefix = key_ + "/nodes/";
  CO_TRY(const auto snapshot, co_await metadata_.list(prefix, std::move(call)));
  std::vector<std::string> nodes;
  for (const auto& entry : snapshot.entries) {
    auto node = entry.key.substr(prefix.size());
    if (node != node_) nodes.push_back(std::move(node));
  }
  co_return nodes;
}

io::Task<void> PullLease::keep_alive() {
  const io::CancelToken cancel = tasks_.token();
  while (co_await world_.clock.sleep_for(kKeepAliveEvery, {io::kNever, cancel})) {
    const auto lease = lease_;
    const io::TimePoint asked = world_.clock.now();
    const auto kept =
        co_await metadata_.keep_alive(lease, world_.clock.call_within(kKeepAliveEvery, cancel));
    if (lease != lease_) continue;
    if (kept) {
      good_until_ = asked + kPullLease;
    } else if (kept.error().code == Errc::not_found) {
      lease_ = 0;  // announce() makes a new one.
    } else {
      log_warn("pull lease not renewed", field("pull", key_), field("error", kept.error()));
    }
  }
}

io::Task<void> PullLease::let_run_out() {
  co_await tasks_.stop();
  lease_ = 0;
}

io::Task<void> PullLease::stop() {
  co_await tasks_.stop();
  const auto lease = std::exchange(lease_, 0);
  if (lease == 0) co_return;
  const auto revoked = co_await metadata_.revoke(lease, world_.clock.call_within(kRevokeMax));
  if (!revoked) log_debug("pull lease runs out by itself", field("error", revoked.error()));
}

}  // namespace om::transfer
