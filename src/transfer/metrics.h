// What this room counts.
#pragma once

#include "base/metrics.h"

namespace om::transfer {

inline Counter received_bytes{"ollamamax_pull_received_bytes_total",
                              "Blob bytes received from registries."};
inline Counter peer_received_bytes{"ollamamax_peer_received_bytes_total",
                                   "Blob bytes received from other nodes."};
inline Counter peer_sent_bytes{"ollamamax_peer_sent_bytes_total",
                               "Blob bytes given to other nodes."};
inline Counter relayed_bytes{"ollamamax_relayed_bytes_total",
                             "Blob bytes passed on to clients from other nodes."};
inline Counter bad_chunks{"ollamamax_pull_bad_chunks_total",
                          "Chunks whose bytes were not what their digest says."};
inline Counter sources_dropped{"ollamamax_pull_sources_dropped_total",
                               "Nodes no longer asked for a blob after a wrong chunk."};
inline Counter chunks_stolen{"ollamamax_pull_chunks_stolen_total",
                             "Chunks taken from a slow source and asked of a faster one."};
inline Counter scrubbed_bytes{"ollamamax_scrubbed_bytes_total",
                              "Bytes of blobs read again to see whether they have rotted."};
inline Counter rotten_blobs{"ollamamax_rotten_blobs_total", "Blobs found rotten and put aside."};
inline Counter sent_bytes{"ollamamax_push_sent_bytes_total", "Blob bytes sent to registries."};
inline Counter bad_digests{"ollamamax_pull_bad_digests_total",
                           "Downloads whose bytes were not what their digest says."};

}  // namespace om::transfer
