// What a node remembers of its cluster from one start to the next, beside its certificates: the
// file cluster.json in the state directory's cluster/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/members.h"
#include "io/filesystem.h"

namespace om::app {

struct ClusterState {
  std::string name;        // Of this node.
  io::Endpoint advertise;  // Where others reach it.
  bool voter = false;
  bool external_etcd = false;  // As a voter: the facts are in the user's own etcd.
  // As a voter: its etcd is reached through the port between nodes. Not so where it began before
  // 0.3, or listens on loopback: etcd has two ports of its own then.
  bool one_port = false;
  bool newcomer = false;  // It has joined, and not yet looked at the models that it brought along.
  std::vector<cluster::Member> known;  // When this was written: whom to ask first.
};

// not_found: in no cluster. corrupt: damaged.
Result<ClusterState> load_cluster_state(io::Filesystem& files, const io::Path& directory);
Result<void> save_cluster_state(io::Filesystem& files, const io::Path& directory,
                                const ClusterState& state);
io::Path cluster_directory(std::string_view state_directory);

}  // namespace om::app
