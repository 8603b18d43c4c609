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
  std::string name;               // Of this node.
  io::Endpoint advertise;         // Where others reach it; see own_address.h for the next four.
  bool advertise_found = false;   // By itself, as an address of this machine.
  std::string advertise_before;   // Found earlier, and gone since; empty: none was.
  std::string advertise_setting;  // cluster.advertise when it was chosen, and
  uint16_t listen_port = 0;       // the port of cluster.listen; 0: older states do not say.
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
// Out of the cluster, with all that was kept of it. A part may be left when it fails; the node is
// in none then, too.
Result<void> remove_cluster(io::Filesystem& files, const io::Path& directory);

}  // namespace om::app
