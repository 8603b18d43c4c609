// Measures now and then, for the metrics, what an operator may be woken by.
#pragma once

#include <string>

#include "app/cluster_parts.h"
#include "base/metrics.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::app {

// On the io thread. References outlive it; stop() must have returned before it is destroyed.
class NodeHealth {
 public:
  // Folders whose disks are looked at.
  struct Folders {
    io::Path models, state;
  };
  // `cluster`: null, of a node that is in none.
  NodeHealth(io::World& world, std::string name, Folders folders, ClusterParts* cluster);
  void start();
  io::Task<void> stop();

 private:
  static constexpr std::chrono::seconds kInterval{5};
  io::Task<void> watch();
  void look();
  io::Task<void> measure();
  io::Task<void> measure_disk(const io::Path& folder, Gauge& free);
  void count_nodes();

  io::World& world_;
  const std::string name_;
  const Folders folders_;
  ClusterParts* cluster_;
  bool measuring_ = false;  // Disks and descriptors.
  io::TaskGroup tasks_;
};

}  // namespace om::app
