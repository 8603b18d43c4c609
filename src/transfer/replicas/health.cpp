#include "transfer/replicas/health.h"

#include <algorithm>
#include <boost/json.hpp>

#include "transfer/replicas/metrics.h"

namespace om::transfer {
namespace {

// Rising with the trouble.
int severity(const ModelHealth& health) {
  if (health.is_lost()) return 4;
  if (health.is_out_of_reach()) return 3;
  if (health.is_in_danger()) return 2;
  return health.is_under() ? 1 : 0;
}

boost::json::array copying_json(const std::string& model, const cluster::View& view) {
  boost::json::array copying;
  for (const cluster::NodeInfo& node : view.nodes()) {
    if (!node.is_reachable()) continue;
    for (const cluster::CopyProgress& copy : node.copying) {
      if (copy.model != model) continue;
      copying.push_back(boost::json::object{
          {"node", node.name}, {"completed", copy.done_bytes}, {"total", copy.total_bytes}});
    }
  }
  return copying;
}

double count(const std::vector<ModelHealth>& health, bool (ModelHealth::*is)() const) {
  return static_cast<double>(
      std::ranges::count_if(health, [is](const ModelHealth& model) { return (model.*is)(); }));
}

}  // namespace

std::string_view state_of(const ModelHealth& health) {
  switch (severity(health)) {
    case 4:
      return "lost";
    case 3:
      return "unreachable";
    case 2:
      return "danger";
    case 1:
      return "under";
    default:
      return health.is_over() ? "over" : "ok";
  }
}

std::string name_in(const CatalogueState& state, const ModelHealth& model) {
  const auto known = state.models.find(model.model);
  return known == state.models.end() ? model.model : known->second.name.shortest();
}

std::string health_json(const std::vector<ModelHealth>& health, const CatalogueState& state,
                        const cluster::View& view) {
  boost::json::array models;
  for (const ModelHealth& model : health) {
    models.push_back(boost::json::object{
        {"model", model.model},
        {"name", name_in(state, model)},
        {"state", state_of(model)},
        {"wanted", model.wanted},
        {"minimum", model.minimum},
        {"copies", boost::json::array(model.copies.begin(), model.copies.end())},
        {"unreachable", boost::json::array(model.unreachable.begin(), model.unreachable.end())},
        {"size", model.bytes},
        {"policy", state.policy_of(model.model).json()},
        {"own_policy", state.policies.contains(model.model)},
        {"copying", copying_json(model.model, view)}});
  }
  return boost::json::serialize(boost::json::object{
      {"models", std::move(models)}, {"default_policy", state.default_policy.json()}});
}

void count_health(const std::vector<ModelHealth>& health) {
  models_catalogued.set(static_cast<double>(health.size()));
  models_under.set(count(health, &ModelHealth::is_under));
  models_over.set(count(health, &ModelHealth::is_over));
  models_in_danger.set(count(health, &ModelHealth::is_in_danger));
  models_out_of_reach.set(count(health, &ModelHealth::is_out_of_reach));
  models_lost.set(count(health, &ModelHealth::is_lost));
}

std::vector<ModelHealth> newly_troubled(const std::vector<ModelHealth>& before,
                                        const std::vector<ModelHealth>& now) {
  std::vector<ModelHealth> troubled;
  for (const ModelHealth& model : now) {
    const auto known = std::ranges::lower_bound(before, model.model, {}, &ModelHealth::model);
    const bool is_known = known != before.end() && known->model == model.model;
    const int was = is_known ? severity(*known) : 0;
    if (severity(model) >= 2 && severity(model) > was) troubled.push_back(model);
  }
  return troubled;
}

}  // namespace om::transfer
