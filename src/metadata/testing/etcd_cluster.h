// Real etcd members on loopback for tests: started on free ports, killed, paused, ended.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/real.h"
#include "metadata/etcd/gateway.h"

namespace om::metadata::testing {

// Members with their data in a fresh folder. Children die with this object.
class EtcdCluster {
 public:
  EtcdCluster(io::World& world, size_t members);
  ~EtcdCluster();

  // Returns when all answer; false: they do not, and the test has failed.
  io::Task<bool> start();
  io::Task<bool> ready(size_t member);  // A linearizable read went well there.
  void kill(size_t member);             // -9.
  Result<void> restart(size_t member);  // With the data it had.
  void pause(size_t member);            // SIGSTOP: as if the network was cut.
  void resume(size_t member);
  io::Task<std::optional<size_t>> leader();

  size_t size() const { return members_.size(); }
  EtcdOptions options() const;  // All endpoints.
  io::Endpoint endpoint(size_t member) const { return members_[member].client; }

 private:
  struct One {
    std::string name;
    io::Endpoint client, peer;
    std::unique_ptr<io::Child> child;
  };
  io::World& world_;
  std::string folder_;
  std::vector<One> members_;
};

// A TCP port of loopback that nobody uses now.
uint16_t free_port(io::World& world);

}  // namespace om::metadata::testing
