// What this room counts.
#pragma once

#include "base/metrics.h"

namespace om::metadata {

inline Counter gateway_retries{"ollamamax_metadata_retries_total",
                               "Requests to etcd that were repeated, here or at another member."};
inline Counter watch_reconnects{"ollamamax_metadata_watch_reconnects_total",
                                "Watches that were begun again from their last revision."};
inline Counter member_restarts{"ollamamax_metadata_member_restarts_total",
                               "Starts of this node's etcd child after it had died."};

}  // namespace om::metadata
