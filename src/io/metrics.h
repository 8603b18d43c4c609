// What the io room counts.
#pragma once

#include "base/metrics.h"

namespace om::io::metrics {

inline Counter tls_refused{"ollamamax_tls_handshakes_refused_total",
                           "Connections from clients that ended in the TLS handshake: no or a "
                           "wrong certificate, no TLS, too slow."};
inline Counter tls_reloads{"ollamamax_tls_reloads_total",
                           "Times a server took up certificate files that had changed."};
inline Counter tls_reload_failures{"ollamamax_tls_reload_failures_total",
                                   "Times changed certificate files did not fit together."};

}  // namespace om::io::metrics
