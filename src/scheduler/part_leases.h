// Parts of models as leases on other nodes: each node reserves the memory of the part it runs.
#pragma once

#include "engine/split/part_source.h"
#include "scheduler/remote_lease.h"

namespace om::scheduler {

// On the io thread. References outlive it; parts may outlive it.
class PartLeases final : public engine::PartSource {
 public:
  PartLeases(io::World& world, RemoteLeases& leases, std::string self)
      : world_(world), leases_(leases), self_(std::move(self)) {}

  io::Task<Result<std::unique_ptr<engine::Part>>> take(engine::PartShare share, std::string model,
                                                       io::Call call) override;

 private:
  io::World& world_;
  RemoteLeases& leases_;
  std::string self_;
};

}  // namespace om::scheduler
