// Under which address other nodes reach this one: how it is chosen, and what becomes of it when the
// settings or the machine's addresses change.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/cluster_state.h"
#include "app/settings.h"

namespace om::app {

// Host name and numeric addresses of this machine, loopback among them.
std::vector<std::string> machine_addresses();

// Sets the address of a node that enters a cluster, and how it came about: `wanted`, else what
// cluster.advertise says, else the machine's first one; `towards_loopback`: only this machine is
// meant. invalid_argument, with advice: there is none.
Result<void> choose_address(ClusterState& state, const Settings& settings,
                            const std::string& wanted, bool towards_loopback);

// Of a member, at each start and from time to time: the address becomes what cluster.advertise
// says if that was changed, gets the port of cluster.listen if that was changed, and the machine's
// first one if it was found by itself and is gone. It goes back to an earlier one that is there
// again: the one in between may be of a network that leads nowhere. Whether the state has changed.
bool follow_address(ClusterState& state, const Settings& settings,
                    const std::function<std::vector<std::string>()>& machine);

}  // namespace om::app
