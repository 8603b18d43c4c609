// The cluster's facts in etcd, 3.4 or later: members that our nodes run, or the user's own.
#pragma once

#include <memory>

#include "metadata/etcd/gateway.h"
#include "metadata/metadata.h"

namespace om::metadata {

// On the io thread. Keys lie under <prefix>data/. Every changing transaction also makes a key of
// its request id under <prefix>request/, with a lease, and compares it to be absent: so it may be
// sent again after an unknown outcome, here or by the caller. not_leader comes within two seconds,
// for a change within four. A watch from 0 begins when etcd has answered; one from a snapshot's
// revision misses nothing.
class EtcdMetadata final : public Metadata {
 public:
  EtcdMetadata(io::World& world, EtcdOptions options);

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override;
  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override;
  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override;
  io::Task<Result<LeaseId>> grant(std::chrono::seconds time_to_live, io::Call call) override;
  io::Task<Result<void>> keep_alive(LeaseId lease, io::Call call) override;
  io::Task<Result<void>> revoke(LeaseId lease, io::Call call) override;
  std::unique_ptr<Watch> watch(std::string prefix, Revision from) override;
  bool healthy() const override { return gateway_.healthy(); }
  io::Task<void> stop() override;

  // Call when members come and go.
  void set_endpoints(std::vector<io::Endpoint> endpoints) {
    gateway_.set_endpoints(std::move(endpoints));
  }
  // Forgets the changes before `revision`; members that nodes run do so by themselves.
  io::Task<Result<void>> compact(Revision revision, io::Call call);

 private:
  io::Task<Result<Commit>> commit_once(const Transaction& transaction, io::Call call);
  // A lease that lives long enough for a request id that is put now.
  io::Task<Result<LeaseId>> request_lease(io::Call call);
  io::Task<Result<RangeReply>> page(const std::string& prefix, const Snapshot& before,
                                    size_t& limit, io::Call call);
  io::Task<Result<LeaseId>> grant_lease(std::chrono::seconds time_to_live, io::Call call);

  io::World& world_;
  const std::string data_, requests_;  // Prefixes.
  Gateway gateway_;
  LeaseId request_lease_ = 0;
  io::TimePoint request_lease_until_{};
  bool granting_ = false;
  io::Event granted_;
  io::TaskGroup tasks_;
};

}  // namespace om::metadata
