// The metrics of this room.
#pragma once

#include "base/metrics.h"

namespace om::engine {

inline Counter runner_deaths{"ollamamax_runner_deaths_total",
                             "Runners that ended unasked after they had loaded."};
inline Counter runner_wedged{"ollamamax_runner_wedged_total",
                             "Runners that answered but brought no token and were ended."};
inline Histogram wedged_silence{"ollamamax_runner_wedged_silence_seconds",
                                "How long such runners had brought nothing when they were ended.",
                                kSecondsBuckets};
inline Counter runner_garbage{"ollamamax_runner_garbage_total",
                              "Streams ended because the runner sent something else."};
inline Counter reattached{"ollamamax_peer_reattached_total",
                          "Connections to other nodes that broke while their runner went on."};
inline Histogram time_to_first_event{"ollamamax_runner_first_event_seconds",
                                     "From sending a request to a runner to its first event.",
                                     kSecondsBuckets};

}  // namespace om::engine
