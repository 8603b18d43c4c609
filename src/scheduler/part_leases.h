// Parts of models as leases on other nodes: the memory is theirs to give, and nobody else gets it.
#pragma once

#include <functional>

#include "engine/split/part_source.h"
#include "scheduler/remote_lease.h"

namespace om::scheduler {

// On the io thread. References outlive it; parts may outlive it.
class PartLeases final : public engine::PartSource {
 public:
  using LinkOf = std::function<const engine::PeerLink*(std::string_view node)>;

  PartLeases(io::World& world, RemoteLeases& leases, LinkOf link_of, std::string self)
      : world_(world), leases_(leases), link_of_(std::move(link_of)), self_(std::move(self)) {}

  io::Task<Result<std::unique_ptr<engine::Part>>> take(engine::PartShare share, std::string model,
                                                       io::Call call) override;

 private:
  io::World& world_;
  RemoteLeases& leases_;
  LinkOf link_of_;
  std::string self_;
};

}  // namespace om::scheduler
