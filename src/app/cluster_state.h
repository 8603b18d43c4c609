// What a node remembers of its cluster between starts, besides its certificates: the file
// cluster/cluster.json in the state directory.
#pragma once

#include <string>
#include <vector>

#include "cluster/members.h"
#include "io/filesystem.h"

namespace om::app {

struct ClusterState {
  std::string name;               // Of this node.
  io::Endpoint advertise;         // Where others reach it; see own_address.h for the next four.
  bool advertise_found = false;   // Chosen by the node itself among this machine's addresses.
  std::string advertise_before;   // An earlier address that is gone; empty: none.
  std::string advertise_setting;  // cluster.advertise when the address was chosen, and
  uint16_t listen_port = 0;       // the port of cluster.listen; 0: older states do not say.
  bool voter = false;
  bool external_etcd = false;  // As a voter: the facts are in the user's own etcd.
  // As a voter: its etcd is reached through the port between nodes. False if it began before 0.3 or
  // listens on loopback: etcd then has two ports of its own.
  bool one_port = false;
  bool newcomer = false;  // It has joined; its own models are not yet compared with the cluster's.
  std::vector<cluster::Member> known;  // Members when this was written: asked first at a start.
};

// not_found: in no cluster. corrupt: damaged.
Result<ClusterState> load_cluster_state(io::Filesystem& files, const io::Path& directory);
Result<void> save_cluster_state(io::Filesystem& files, const io::Path& directory,
                                const ClusterState& state);
io::Path cluster_directory(std::string_view state_directory);
// Removes the state and all other files of the cluster. If it fails, some files may be left, but
// the node is in no cluster all the same.
Result<void> remove_cluster(io::Filesystem& files, const io::Path& directory);

}  // namespace om::app
