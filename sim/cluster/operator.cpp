// What the run's operator does and sees.
#include "base/log.h"
#include "cluster/catalogue.h"
#include "sim/cluster/request_to.h"
#include "sim/cluster/run.h"
#include "sim/models_for_test.h"

namespace om::sim {

namespace json = boost::json;

namespace {

constexpr auto kAskMax = std::chrono::seconds(40);
constexpr auto kAskPause = std::chrono::seconds(1);
constexpr int kAsksMax = 200;
constexpr auto kJoinMax = std::chrono::seconds(60);
constexpr auto kConvergeMax = std::chrono::minutes(3);
constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kReportAgeMax = std::chrono::seconds(5);
constexpr uint64_t kAnswerBytesMax = 1 << 20;

}  // namespace

io::Task<Result<json::object>> ClusterRun::ask(const ClusterNode& node, std::string method,
                                               std::string target, std::string body) {
  auto request = request_to(node, std::move(method), std::move(target), std::move(body));
  const io::Call call = sim_.clock().call_within(kAskMax);
  CO_TRY(const auto response, co_await operator_.send(std::move(request), call));
  CO_TRY(const std::string text, co_await response->read_all(kAnswerBytesMax));
  if (response->status() != 200) {
    co_return fail(Errc::unavailable, "status {}: {}", response->status(), text);
  }
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) co_return json::object{};
  co_return value.get_object();
}

// As an operator does who waits for the cluster to be able to.
io::Task<void> ClusterRun::ask_until_done(size_t node, std::string method, std::string target,
                                          std::string body, std::string_view what) {
  std::string last;
  for (int i = 0; i < kAsksMax; i++) {
    const auto done = co_await ask(*nodes_[node], method, target, body);
    if (done) co_return;
    last = done.error().what;
    // Done before, and the answer was lost.
    if (last.contains("status 404") || last.contains("is in no cluster")) co_return;
    co_await sleep(kAskPause);
  }
  complain(fmt::format("{} is not possible: {}", what, last));
}

io::Task<void> ClusterRun::join(size_t node) {
  std::string last;
  const io::TimePoint end = sim_.clock().now() + kConvergeMax;
  while (sim_.clock().now() < end) {
    const auto token = co_await ask(*nodes_[0], "POST", "/api/v1/cluster/token", "{}");
    if (!token) {
      last = token.error().what;
    } else {
      const auto joined =
          co_await ask(*nodes_[node], "POST", "/api/v1/cluster/join", json::serialize(*token));
      if (joined || joined.error().what.contains("is in a cluster already")) {
        const auto is_in = [this, node] {
          return nodes_[node]->node() && nodes_[node]->node()->cluster();
        };
        co_return co_await wait_for(is_in, kJoinMax, nodes_[node]->name() + " is in");
      }
      last = joined.error().what;
      // Its record was written and the answer lost: what joined is not it.
      if (last.contains("is in this cluster already")) {
        co_await ask_until_done(0, "DELETE", removal_of(nodes_[node]->name()), "",
                                "removal of a failed join");
      }
    }
    co_await sleep(kAskPause);
  }
  complain(fmt::format("{} cannot join: {}", nodes_[node]->name(), last));
}

// A loaded one holds its parts on other nodes, whoever needs it.
io::Task<void> ClusterRun::unload_split_model() {
  if (scenario_.base.split_model < 0) co_return;
  const json::object body{{"model", model_name(scenario_.base.split_model)}, {"keep_alive", 0}};
  co_await ask_until_done(0, "POST", "/api/generate", json::serialize(body), "unloading");
}

io::Task<void> ClusterRun::wait_for(std::function<bool()> condition, io::Duration at_most,
                                    std::string_view what) {
  const io::TimePoint end = sim_.clock().now() + at_most;
  while (!condition()) {
    if (sim_.clock().now() >= end) co_return complain(fmt::format("too late: {}", what));
    co_await sleep(kLook);
  }
}

// As the API lists them, but for those of foreign servers.
io::Task<Result<std::set<std::string>>> ClusterRun::models_of(const ClusterNode& node) {
  CO_TRY(const json::object answer, co_await ask(node, "GET", "/api/tags", ""));
  std::set<std::string> keys;
  for (const json::value& model : answer.at("models").as_array()) {
    const json::object& told = model.as_object();
    if (told.contains("remote_model")) continue;
    CO_TRY(const auto name, model::Name::parse(std::string(told.at("name").as_string())));
    keys.insert(std::string(cluster::kModelsPrefix) + cluster::catalogue_key(name));
  }
  co_return keys;
}

std::string ClusterRun::view_difference_of(ClusterNode& node, const std::set<std::string>& keys) {
  if (!node.node()) return fmt::format("{} does not serve {}", node.name(), node.last_error());
  app::ClusterParts* parts = node.node()->cluster();
  if (!parts) return node.name() + " is in no cluster";
  const cluster::View view = parts->reports().view();
  for (const auto& other : nodes_) {
    const auto* member = parts->members().find(other->name());
    const auto* info = view.find(other->name());
    if (!member) return fmt::format("{} does not know {}", node.name(), other->name());
    if (member->draining) return fmt::format("{}: {} drains", node.name(), other->name());
    if (!info || info->state != cluster::NodeState::ready) {
      return fmt::format("{} does not see {}", node.name(), other->name());
    }
    if (sim_.clock().now() - info->reported > kReportAgeMax) {
      return fmt::format("{} has old reports of {}", node.name(), other->name());
    }
    if (!keys.contains("/nodes/" + other->name())) return "a member is not written down";
  }
  if (parts->members().list().size() != nodes_.size()) {
    return fmt::format("{} knows {} members", node.name(), parts->members().list().size());
  }
  return {};
}

io::Task<std::string> ClusterRun::difference_of(ClusterNode& node) {
  std::set<std::string> keys, wanted;
  for (const metadata::Entry& entry : facts_.all().entries) keys.insert(entry.key);
  std::string found = view_difference_of(node, keys);
  if (!found.empty()) co_return found;
  const auto there = co_await models_of(node);
  if (!there) co_return fmt::format("{}: {}", node.name(), there.error().what);
  for (const std::string& key : keys) {
    if (key.starts_with(cluster::kModelsPrefix)) wanted.insert(key);
  }
  if (*there != wanted) {
    co_return fmt::format("{} has the models {} where the cluster has {}", node.name(),
                          fmt::join(*there, " "), fmt::join(wanted, " "));
  }
  if (foreign_ && node.node()) co_return foreign_->difference(node);
  co_return std::string();
}

io::Task<std::string> ClusterRun::difference() {
  for (const auto& node : nodes_) {
    std::string found = co_await difference_of(*node);
    if (!found.empty()) co_return found;
  }
  if (voters_.voting() < app::voters_of(nodes_.size(), app::Settings{}.voters)) {
    co_return fmt::format("{} nodes vote", voters_.voting());
  }
  co_return std::string();
}

io::Task<void> ClusterRun::wait_converged(std::string_view when) {
  const io::TimePoint begin = sim_.clock().now();
  std::string last = co_await difference();
  while (!last.empty() && sim_.clock().now() < begin + kConvergeMax) {
    co_await sleep(kLook);
    last = co_await difference();
  }
  if (!last.empty()) complain(fmt::format("no common view {}: {}", when, last));
  log_info("all see one cluster", field("seconds", sim_.clock().now() - begin));
}

}  // namespace om::sim
