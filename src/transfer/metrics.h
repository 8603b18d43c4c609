// What this room counts.
#pragma once

#include "base/metrics.h"

namespace om::transfer {

inline Counter received_bytes{"ollamamax_pull_received_bytes_total",
                              "Blob bytes received from registries."};
inline Counter sent_bytes{"ollamamax_push_sent_bytes_total", "Blob bytes sent to registries."};
inline Counter bad_digests{"ollamamax_pull_bad_digests_total",
                           "Downloads whose bytes were not what their digest says."};

}  // namespace om::transfer
