// The cluster's facts for a node that is no voter: it asks one, over the port between nodes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cluster/metadata_wire.h"
#include "engine/remote/peer_link.h"
#include "io/world.h"
#include "metadata/metadata.h"

namespace om::cluster {

// On the io thread. `voters` tells whom to ask, the most promising first. A voter that cannot be
// reached, or reaches no majority, is asked last for a while. A commit carries a request id, so
// that asking twice does nothing twice.
class RemoteMetadata final : public metadata::Metadata {
 public:
  using Voters = std::function<std::vector<engine::PeerLink>()>;
  RemoteMetadata(io::World& world, http::Client& client, Voters voters);

  io::Task<Result<std::optional<metadata::Entry>>> get(std::string key, io::Call call) override;
  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override;
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override;
  io::Task<Result<metadata::LeaseId>> grant(std::chrono::seconds time_to_live,
                                            io::Call call) override;
  io::Task<Result<void>> keep_alive(metadata::LeaseId lease, io::Call call) override;
  io::Task<Result<void>> revoke(metadata::LeaseId lease, io::Call call) override;
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override;
  bool healthy() const override { return healthy_; }
  io::Task<void> stop() override;

 private:
  friend class RemoteWatch;
  std::vector<engine::PeerLink> in_order() const;
  void doubt(const std::string& node);
  io::Task<Result<boost::json::object>> ask(std::string operation, boost::json::object body,
                                            io::Call call);

  io::World& world_;
  http::Client& client_;
  Voters voters_;
  std::map<std::string, io::TimePoint> doubted_;  // Voters that failed, and until when.
  bool healthy_ = false;
};

}  // namespace om::cluster
