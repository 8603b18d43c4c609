// The metrics of this room.
#pragma once

#include "base/metrics.h"

namespace om::peer {

inline Counter leases_given{"ollamamax_peer_leases_total",
                            "Slots given to other nodes for their clients' requests."};

inline Counter refused{"ollamamax_peer_refused_total",
                       "Requests between nodes refused: no certificate, or not of a member."};

}  // namespace om::peer
