// How well the cluster keeps its models, for people and metrics. Pure values.
#pragma once

#include <string>
#include <vector>

#include "transfer/replicas/catalogue.h"
#include "transfer/replicas/core.h"

namespace om::transfer {

// "ok", "over", "under", "danger" (below the minimum), "unreachable" (copies exist, none answers)
// or "lost".
std::string_view state_of(const ModelHealth& health);

// The model's name as people write it.
std::string name_in(const CatalogueState& state, const ModelHealth& model);

// {"models":[{"model","name","state","wanted","minimum","copies":[..],"unreachable":[..],"size",
//   "policy":{..},"own_policy","copying":[{"node","completed","total"}]}],"default_policy":{..}}
std::string health_json(const std::vector<ModelHealth>& health, const CatalogueState& state,
                        const cluster::View& view);

void count_health(const std::vector<ModelHealth>& health);  // Into metrics.h.

// The models whose state is worse than `before`, each worth a line in the log. Both ordered by key.
std::vector<ModelHealth> newly_troubled(const std::vector<ModelHealth>& before,
                                        const std::vector<ModelHealth>& now);

}  // namespace om::transfer
