// The address under which other nodes reach this one: how it is chosen, and how it follows changes
// of the settings and of the machine's addresses.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/cluster_state.h"
#include "app/settings.h"

namespace om::app {

// Host name and numeric addresses of this machine, loopback among them; those of interfaces that do
// not work last.
std::vector<std::string> machine_addresses();

// What a machine's network tells of it.
struct OwnNetwork {
  std::vector<std::string> addresses;  // As above.
  // The address that leads to other nodes; empty: none does now. Others of a machine may be known
  // to itself alone, such as those of its containers' networks.
  std::string outward;
};

// `others`: where other nodes are, as far as is known. Sends nothing.
OwnNetwork own_network(const std::vector<io::Endpoint>& others);

// Sets the address of a node that enters a cluster, and how it was chosen: `wanted`, else
// cluster.advertise, else the one that leads to `others`, the nodes that let it in (on loopback if
// they are), else the machine's first one. invalid_argument, with advice: there is none.
Result<void> choose_address(ClusterState& state, const Settings& settings,
                            const std::string& wanted, const std::vector<io::Endpoint>& others);

// For a member, at each start and from time to time. If cluster.advertise was changed, the address
// becomes that; if cluster.listen was, it gets that port. If the node chose the address itself and
// the address is gone, it becomes the one that leads to others, if there is one; an earlier address
// that is back is preferred, since the one in between may lead nowhere. True: the state has
// changed.
bool follow_address(ClusterState& state, const Settings& settings,
                    const std::function<OwnNetwork()>& machine);

}  // namespace om::app
