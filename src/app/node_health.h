// Looks from time to time at what an operator is woken by, for the metrics.
#pragma once

#include <string>

#include "app/cluster_parts.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::app {

// On the io thread. References outlive it; stop() must have returned before it is destroyed.
class NodeHealth {
 public:
  // `cluster`: null, of a node that is in none. `models`: the directory.
  NodeHealth(io::World& world, std::string name, io::Path models, ClusterParts* cluster);
  void start();
  io::Task<void> stop();

 private:
  static constexpr std::chrono::seconds kInterval{5};
  io::Task<void> watch();
  void look();
  io::Task<void> measure_disk();
  void count_nodes();

  io::World& world_;
  const std::string name_;
  const io::Path models_;
  ClusterParts* cluster_;
  bool measuring_ = false;  // The disk.
  io::TaskGroup tasks_;
};

}  // namespace om::app
