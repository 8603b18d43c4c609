// Under which address other nodes reach this one: how it is chosen, and what becomes of it when the
// settings or the machine's addresses change.
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
  // The one that leads to others; empty: at the moment none does. A machine has others besides,
  // such as those of its containers' networks, under which only itself reaches it.
  std::string outward;
};

// `others`: where other nodes are, as far as is known. Sends nothing.
OwnNetwork own_network(const std::vector<io::Endpoint>& others);

// Sets the address of a node that enters a cluster, and how it came about: `wanted`, else what
// cluster.advertise says, else the one that leads to the `others`, who let it in (on loopback where
// they are), else the machine's first one. invalid_argument, with advice: there is none.
Result<void> choose_address(ClusterState& state, const Settings& settings,
                            const std::string& wanted, const std::vector<io::Endpoint>& others);

// Of a member, at each start and from time to time: the address becomes what cluster.advertise
// says if that was changed, gets the port of cluster.listen if that was changed, and the one that
// leads to others if it was found by itself and is gone; where none does, it stays. It goes back to
// an earlier one that is there again: the one in between may be of a network that leads nowhere.
// Whether the state has changed.
bool follow_address(ClusterState& state, const Settings& settings,
                    const std::function<OwnNetwork()>& machine);

}  // namespace om::app
