// The metrics of this room: what an operator is woken by (docs/operations.md).
#pragma once

#include "base/metrics.h"

namespace om::app {

inline GaugeFamily build_info{"ollamamax_build_info", "Always 1.", {"version", "revision"}};
inline Gauge process_start{"process_start_time_seconds", "Start of the process, Unix time."};
inline Gauge resident_memory{"process_resident_memory_bytes",
                             "Memory of the node itself, without its runners and etcd."};
inline Gauge open_descriptors{"process_open_fds", "Open file descriptors."};
inline Gauge descriptors_max{"process_max_fds", "Most file descriptors it may have open."};
inline Gauge disk_free{"ollamamax_disk_free_bytes", "Free where the models are."};
inline Gauge state_disk_free{"ollamamax_state_disk_free_bytes",
                             "Free where the node's state is: the cluster's facts, of a voter."};
inline Gauge majority{"ollamamax_cluster_majority",
                      "1: changes can be agreed on. 0: no majority of the voters is reached."};
inline Gauge voters_cut_off{
    "ollamamax_voters_cut_off",
    "Voters that are there, but whose own copy of the facts reaches no majority."};
inline GaugeFamily nodes{
    "ollamamax_nodes", "Nodes of the cluster as this one sees them.", {"state"}};
inline GaugeFamily certificate_end{"ollamamax_certificate_not_after_timestamp_seconds",
                                   "End of this node's certificate, Unix time.",
                                   {"node"}};

}  // namespace om::app
