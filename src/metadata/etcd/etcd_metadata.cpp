#include "metadata/etcd/etcd_metadata.h"

#include "metadata/bounds.h"
#include "metadata/etcd/etcd_watch.h"
#include "metadata/etcd/request.h"

namespace om::metadata {
namespace {

// An id that is put in the last moment of kRequestLeaseUse still lives ten minutes. One lease
// serves all ids of that time, so that etcd's log gets one more entry a minute, not one a commit.
constexpr std::chrono::seconds kRequestLeaseUse{60};
constexpr std::chrono::seconds kRequestLeaseLife{10 * 60 + 90};
constexpr size_t kPageEntriesMax = 1000;
constexpr int kListAttemptsMax = 3;

}  // namespace

EtcdMetadata::EtcdMetadata(io::World& world, EtcdOptions options)
    : world_(world),
      data_(options.prefix + "data/"),
      requests_(options.prefix + "request/"),
      gateway_(world, std::move(options)),
      granted_(world.clock),
      tasks_(world.executor, world.clock) {
  tasks_.spawn(gateway_.watch_over(tasks_.token()));
}

io::Task<Result<std::optional<Entry>>> EtcdMetadata::get(std::string key, io::Call call) {
  CO_TRY_VOID(check_key(key));
  CO_TRY(const auto body, co_await gateway_.ask(Gateway::Kind::read, "/v3/kv/range",
                                                get_body(data_ + key), std::move(call)));
  CO_TRY(auto reply, parse_range(body, data_));
  if (reply.entries.empty()) co_return std::optional<Entry>{};
  co_return std::optional(std::move(reply.entries.front()));
}

io::Task<Result<RangeReply>> EtcdMetadata::page(const std::string& prefix, const Snapshot& before,
                                                size_t& limit, io::Call call) {
  const std::string after = before.entries.empty() ? "" : data_ + before.entries.back().key;
  while (true) {
    std::string asked = range_body({prefix, after, limit, before.revision});
    const auto body =
        co_await gateway_.ask(Gateway::Kind::read, "/v3/kv/range", std::move(asked), call);
    if (body) co_return parse_range(*body, data_);
    // More bytes than a reply may have: fewer entries at once.
    if (body.error().code != Errc::overloaded || limit == 1) co_return fail(body.error());
    limit = std::max<size_t>(limit / 10, 1);
  }
}

io::Task<Result<Snapshot>> EtcdMetadata::list(std::string prefix, io::Call call) {
  CO_TRY_VOID(check_prefix(prefix));
  call = world_.clock.call_within(kCallMax, call);
  const std::string whole = data_ + prefix;
  size_t limit = kPageEntriesMax, bytes = 0;
  Snapshot snapshot;
  for (int attempts = 1;;) {
    auto next = co_await page(whole, snapshot, limit, call);
    if (!next && next.error().code == Errc::corrupt && attempts < kListAttemptsMax) {
      // The revision of the first page was compacted meanwhile: from the beginning.
      attempts++;
      snapshot = {};
      bytes = 0;
      continue;
    }
    if (!next) co_return fail(next.error());
    if (snapshot.revision == 0) snapshot.revision = next->header.revision;
    for (auto& entry : next->entries) {
      bytes += entry.key.size() + entry.value.size();
      snapshot.entries.push_back(std::move(entry));
    }
    if (bytes > kSnapshotBytesMax) {
      co_return fail(Errc::overloaded, "more than {} bytes under one prefix", kSnapshotBytesMax);
    }
    if (!next->more || next->entries.empty()) co_return snapshot;
  }
}

io::Task<Result<Commit>> EtcdMetadata::commit(Transaction transaction, io::Call call) {
  CO_TRY_VOID(check_transaction(transaction));
  call = world_.clock.call_within(kCallMax, call);
  if (transaction.request_id.empty()) {
    transaction.request_id = world_.random.letters(kRequestIdLetters);
  }
  auto done = co_await commit_once(transaction, call);
  if (done || done.error().code != Errc::not_found) co_return done;
  // A lease has ended. If it was that of the ids (the cluster was restored, say), a new one helps.
  request_lease_ = 0;
  co_return co_await commit_once(transaction, std::move(call));
}

io::Task<Result<Commit>> EtcdMetadata::commit_once(const Transaction& transaction, io::Call call) {
  TransactionRequest request{data_, "", 0};
  const std::string request_key = requests_ + transaction.request_id;
  // What changes nothing may be done twice.
  if (!transaction.operations.empty()) {
    CO_TRY(request.request_lease, co_await request_lease(call));
    request.request_key = request_key;
  }
  CO_TRY(const auto body,
         co_await gateway_.ask(Gateway::Kind::change, "/v3/kv/txn",
                               transaction_body(transaction, request), std::move(call)));
  CO_TRY(const auto reply, parse_transaction(body));
  if (reply.succeeded) co_return Commit{true, reply.header.revision};
  if (reply.found != 0) co_return Commit{true, reply.found};  // It was done already, there.
  co_return Commit{false, reply.header.revision};
}

io::Task<Result<LeaseId>> EtcdMetadata::request_lease(io::Call call) {
  while (request_lease_ == 0 || world_.clock.now() >= request_lease_until_) {
    if (granting_) {
      CO_TRY_VOID(co_await granted_.wait(call));
      continue;
    }
    granting_ = true;
    const auto until = world_.clock.now() + kRequestLeaseUse;
    const auto lease = co_await grant_lease(kRequestLeaseLife, call);
    granting_ = false;
    granted_.notify_all();
    if (!lease) co_return fail(lease.error());
    request_lease_ = *lease;
    request_lease_until_ = until;
  }
  co_return request_lease_;
}

io::Task<Result<LeaseId>> EtcdMetadata::grant(std::chrono::seconds time_to_live, io::Call call) {
  CO_TRY_VOID(check_time_to_live(time_to_live));
  co_return co_await grant_lease(time_to_live, std::move(call));
}

io::Task<Result<LeaseId>> EtcdMetadata::grant_lease(std::chrono::seconds time_to_live,
                                                    io::Call call) {
  // The id is ours, so that a grant which is repeated finds what the first one made.
  const auto id = static_cast<LeaseId>(world_.random.next() >> 1 | 1);
  auto body = co_await gateway_.ask(Gateway::Kind::change, "/v3/lease/grant",
                                    grant_body(id, time_to_live), std::move(call));
  if (!body && body.error().code == Errc::already_exists) co_return id;
  if (!body) co_return fail(body.error());
  co_return id;
}

io::Task<Result<void>> EtcdMetadata::keep_alive(LeaseId lease, io::Call call) {
  CO_TRY(const auto body, co_await gateway_.ask(Gateway::Kind::read, "/v3/lease/keepalive",
                                                lease_body(lease), std::move(call)));
  CO_TRY(const auto reply, parse_lease(body));
  if (reply.time_to_live > 0) co_return Result<void>{};
  co_return fail(Errc::not_found, "lease {} has ended", lease);
}

io::Task<Result<void>> EtcdMetadata::revoke(LeaseId lease, io::Call call) {
  const auto body = co_await gateway_.ask(Gateway::Kind::change, "/v3/lease/revoke",
                                          lease_body(lease), std::move(call));
  if (!body) co_return fail(body.error());
  co_return Result<void>{};
}

std::unique_ptr<Watch> EtcdMetadata::watch(std::string prefix, Revision from) {
  auto feed =
      std::make_shared<WatchFeed>(world_.clock, data_ + prefix, std::max<Revision>(from, 0));
  tasks_.spawn(read_watch(world_, gateway_, data_, feed, tasks_.token()));
  return std::make_unique<EtcdWatch>(std::move(feed));
}

io::Task<Result<void>> EtcdMetadata::compact(Revision revision, io::Call call) {
  std::string asked = fmt::format(R"({{"revision":"{}","physical":true}})", revision);
  const auto body = co_await gateway_.ask(Gateway::Kind::read, "/v3/kv/compaction",
                                          std::move(asked), std::move(call));
  if (!body) co_return fail(body.error());
  co_return Result<void>{};
}

io::Task<void> EtcdMetadata::stop() { co_await tasks_.stop(); }

}  // namespace om::metadata
