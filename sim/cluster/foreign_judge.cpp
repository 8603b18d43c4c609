// What must hold for servers of other engines, and for what they answered.
#include <algorithm>

#include "cluster/backend_table.h"
#include "sim/cluster/foreign_servers.h"
#include "sim/fake_llama.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;

namespace {

constexpr std::string_view kServedBy = "backend/";

std::string with_tag(std::string_view model) {
  return std::string(model) + (model.find(':') == model.npos ? ":latest" : "");
}

// What of the exchange's answer this prompt already has; nothing: it is not of this exchange.
std::optional<std::string_view> said_before(const Exchange& exchange, std::string_view whole,
                                            std::string_view prompt) {
  if (!prompt.starts_with(exchange.prompt)) return std::nullopt;
  const std::string_view said = prompt.substr(exchange.prompt.size());
  if (!whole.starts_with(said)) return std::nullopt;
  return said;
}

bool is_holder_with(const ForeignPlan& plan, std::optional<ForeignTrouble> kind) {
  return plan.has(kForeignModel) &&
         std::ranges::any_of(plan.faults, [kind](const ForeignFault& fault) {
           return !kind || fault.kind == *kind;
         });
}

}  // namespace

std::set<std::string> ForeignServers::listed() const {
  std::set<std::string> names;
  for (const metadata::Entry& entry : parts_.facts.all().entries) {
    if (!entry.key.starts_with(cluster::kBackendsPrefix)) continue;
    names.insert(entry.key.substr(cluster::kBackendsPrefix.size()));
  }
  return names;
}

std::string ForeignServers::difference(ClusterNode& node) const {
  std::set<std::string> there;
  for (const auto& backend : node.node()->backends().list()) {
    const std::string& name = backend->spec().name;
    there.insert(name);
    const ForeignServer* server = find(name);
    if (!server) return fmt::format("{} lists {}", node.name(), name);
    if (!backend->healthy()) {
      return fmt::format("{} cannot use {}: {}", node.name(), name, backend->error()->what);
    }
    const ForeignPlan& plan = server->plan();
    if (backend->kind() != plan.kind) {
      return fmt::format("{} takes {} for one of {}", node.name(), name,
                         to_string(backend->kind()));
    }
    const bool has_all = std::ranges::all_of(
        plan.models, [&](int model) { return backend->find(model_name(model)) != nullptr; });
    if (!has_all || backend->models().size() != plan.models.size()) {
      return fmt::format("{} does not know the models of {}", node.name(), name);
    }
  }
  const std::set<std::string> wanted = listed();
  if (there == wanted) return {};
  return fmt::format("{} has the backends {} where the cluster has {}", node.name(),
                     fmt::join(there, " "), fmt::join(wanted, " "));
}

io::Task<void> ForeignServers::judge_lists(const ClusterNode& node) const {
  const auto told = co_await parts_.ask(node, "GET", "/api/tags", "");
  if (!told) {
    co_return parts_.complain(
        fmt::format("{} lists no models: {}", node.name(), told.error().what));
  }
  std::multiset<std::string> names;
  for (const json::value& model : told->at("models").as_array()) {
    names.insert(with_tag(model.at("name").as_string()));
  }
  std::set<std::string> wanted;
  for (const auto& server : servers_) {
    for (const int model : server->plan().models) wanted.insert(with_tag(model_name(model)));
  }
  for (const std::string& model : wanted) {
    if (names.count(model) == 1) continue;
    parts_.complain(fmt::format("{} lists {} {} times", node.name(), model, names.count(model)));
  }
}

std::vector<std::string> ForeignServers::held() const {
  std::vector<std::string> held;
  for (const auto& server : servers_) {
    if (server->running() == 0) continue;
    held.push_back(fmt::format("{} works on {} requests", server->name(), server->running()));
  }
  return held;
}

// It is not known where none of its servers could be asked since the node began, or since it was
// added again.
bool ForeignServers::may_lack(const Exchange& exchange) const {
  if (exchange.model != kForeignModel) return false;
  if (exchange.gateway >= static_cast<size_t>(parts_.scenario.anchors)) return true;
  return std::ranges::any_of(parts_.scenario.foreign.servers, [](const ForeignPlan& plan) {
    return is_holder_with(plan, ForeignTrouble::be_removed);
  });
}

bool ForeignServers::may_not_count(const Exchange& exchange) const {
  return std::ranges::any_of(servers_, [&exchange](const auto& server) {
    const engine::BackendKind kind = server->plan().kind;
    const bool counts =
        kind == engine::BackendKind::vllm || kind == engine::BackendKind::llama_server;
    return !counts && exchange.served_by == std::string(kServedBy) + server->name();
  });
}

bool ForeignServers::excuses(const Exchange& exchange) const {
  return exchange.model == kForeignModel &&
         std::ranges::any_of(parts_.scenario.foreign.servers, [](const ForeignPlan& plan) {
           return is_holder_with(plan, std::nullopt);
         });
}

void ForeignServers::judge_removals(const Exchange& exchange) const {
  for (const Removal& removal : removals_) {
    if (exchange.gateway != 0 || exchange.served_by != std::string(kServedBy) + removal.server) {
      continue;
    }
    if (exchange.begun < removal.since || exchange.ended > removal.until) continue;
    parts_.complain(fmt::format("client {} request {}: {} answered although it was removed",
                                exchange.client, exchange.number, removal.server));
  }
}

void ForeignServers::judge_all() const {
  std::vector<std::vector<bool>> known;
  known.reserve(servers_.size());
  for (const auto& server : servers_) known.emplace_back(server->asked().size());
  auto& counts = parts_.report.counts;
  for (const Exchange& exchange : parts_.seen) {
    judge_removals(exchange);
    const std::string whole = fake_answer(exchange.prompt, exchange.predict);
    bool went_on = false, broke = false;
    for (size_t i = 0; i < servers_.size(); i++) {
      const auto& asked = servers_[i]->asked();
      for (size_t k = 0; k < asked.size(); k++) {
        const auto said = said_before(exchange, whole, asked[k].prompt);
        if (!said) continue;
        known[i][k] = true;
        went_on |= !said->empty() && asked[k].tokens > 0;
        broke |= !asked[k].whole && asked[k].tokens > 0;
      }
    }
    if (exchange.model == kForeignModel) {
      counts[exchange.is_done() ? "backends: own model answered" : "backends: own model not"]++;
    }
    if (!exchange.is_done()) continue;
    if (exchange.served_by.starts_with(kServedBy)) counts["backends: answers"]++;
    if (went_on) counts["backends: answers taken over by one"]++;
    if (broke) counts["backends: answers taken over from one"]++;
  }
  for (size_t i = 0; i < servers_.size(); i++) {
    for (size_t k = 0; k < known[i].size(); k++) {
      if (known[i][k]) continue;
      parts_.complain(fmt::format("{} was asked for what nobody wanted: '{}'", servers_[i]->name(),
                                  servers_[i]->asked()[k].prompt));
    }
  }
}

}  // namespace om::sim
