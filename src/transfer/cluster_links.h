// What this room needs of the cluster.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/view.h"
#include "io/network.h"
#include "metadata/metadata.h"

namespace om::transfer {

// The references outlive the node.
struct ClusterLinks {
  std::string node;  // This one's name.
  metadata::Metadata& metadata;
  std::function<cluster::View()> view;
  // How to speak to a node; null in a simulation.
  std::function<std::shared_ptr<const io::Tls>(const cluster::NodeInfo&)> tls;
};

}  // namespace om::transfer
