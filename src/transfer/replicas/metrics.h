// What the keeping of copies counts.
#pragma once

#include "base/metrics.h"

namespace om::transfer {

inline Gauge models_catalogued{"ollamamax_models", "Models in the cluster's catalogue."};
inline Gauge models_under{"ollamamax_models_under_replicated",
                          "Models with fewer copies than their policy wants."};
inline Gauge models_over{"ollamamax_models_over_replicated",
                         "Models with more copies than their policy wants."};
inline Gauge models_in_danger{"ollamamax_models_in_danger",
                              "Models with fewer copies than their policy's minimum."};
inline Gauge models_out_of_reach{"ollamamax_models_out_of_reach",
                                 "Models whose every copy is on a node that does not answer."};
inline Gauge models_lost{"ollamamax_models_lost", "Models without any copy."};
inline Counter replicas_fetched{"ollamamax_replicas_fetched_total",
                                "Copies this node got because a policy wants them."};
inline Counter on_demand_fetches{"ollamamax_replicas_on_demand_total",
                                 "Requests for which a model's files had to be fetched first."};
inline Counter replicas_removed{"ollamamax_replicas_removed_total",
                                "Copies this node removed as surplus."};
inline Counter replica_failures{"ollamamax_replica_failures_total",
                                "Attempts to get or remove a copy that failed."};

}  // namespace om::transfer
