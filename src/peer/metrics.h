// The metrics of this room.
#pragma once

#include "base/metrics.h"

namespace om::peer {

inline Counter leases_given{"ollamamax_peer_leases_total",
                            "Slots given to other nodes for their clients' requests."};

inline Counter certificates_renewed{"ollamamax_certificates_renewed_total",
                                    "New certificates this node got for its old ones."};
inline Counter certificate_renewal_failures{
    "ollamamax_certificate_renewal_failures_total",
    "Attempts to renew this node's certificate that failed."};

inline Counter refused{"ollamamax_peer_refused_total",
                       "Requests between nodes refused: no certificate, or not of a member."};

}  // namespace om::peer
