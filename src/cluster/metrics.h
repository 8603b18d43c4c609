// The metrics of this room.
#pragma once

#include "base/metrics.h"

namespace om::cluster {

inline Counter nodes_lost{"ollamamax_nodes_lost_total",
                          "Nodes whose reports stopped: dead, frozen or cut off."};

}  // namespace om::cluster
