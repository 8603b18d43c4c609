#include "app/cli/replicas.h"

#include <algorithm>

#include "app/cli/terminal.h"
#include "base/duration.h"
#include "base/json_fields.h"

namespace om::app {

namespace json = boost::json;

namespace {

const std::string kPolicies = "/api/v1/policies";
constexpr int kTriesMax = 10;

std::string policy_path(const ReplicasOptions& options) {
  return options.model.empty() ? kPolicies : kPolicies + "/" + http::percent_encode(options.model);
}

std::string policy_text(const json::object& policy, bool is_own) {
  const JsonFields fields(policy);
  std::string text =
      fmt::format("{} (min {})", number_of(policy, "factor"), number_of(policy, "minimum"));
  const auto pinned = fields.texts("pinned");
  if (!pinned.empty()) text += fmt::format(", pinned to {}", fmt::join(pinned, " "));
  return is_own ? text : text + ", default";
}

std::string progress_text(const json::object& copy) {
  const uint64_t done = number_of(copy, "completed"), total = number_of(copy, "total");
  const int percent =
      total == 0 ? 0
                 : static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
  return fmt::format("{}% of {}", percent, format_size(total));
}

// A model of the answer as this file needs it.
struct Fares {
  std::string name, state;
  uint64_t wanted = 0, size = 0;
  std::vector<std::string> copies, unreachable;
  std::vector<std::pair<std::string, std::string>> copying;  // Node and progress.
  std::string policy;
};

Fares fares_of(const json::object& model) {
  const JsonFields fields(model);
  Fares fares{fields.text("name"),
              fields.text("state"),
              number_of(model, "wanted"),
              number_of(model, "size"),
              fields.texts("copies"),
              fields.texts("unreachable"),
              {},
              {}};
  bool is_own = false;
  fields.read("own_policy", is_own);
  if (const json::object* policy = fields.object("policy")) {
    fares.policy = policy_text(*policy, is_own);
  }
  if (const json::array* copying = fields.array("copying")) {
    for (const json::value& copy : *copying) {
      if (!copy.is_object()) continue;
      fares.copying.emplace_back(text_of(copy.get_object(), "node"),
                                 progress_text(copy.get_object()));
    }
  }
  return fares;
}

std::vector<Fares> all_fares(const json::value& reply) {
  std::vector<Fares> all;
  if (!reply.is_object()) return all;
  const json::array* models = JsonFields(reply.get_object()).array("models");
  if (!models) return all;
  for (const json::value& model : *models) {
    if (model.is_object()) all.push_back(fares_of(model.get_object()));
  }
  return all;
}

std::string nodes_text(const Fares& fares) {
  std::vector<std::string> nodes = fares.copies;
  for (const std::string& node : fares.unreachable) nodes.push_back(node + " (unreachable)");
  for (const auto& [node, progress] : fares.copying) {
    nodes.push_back(fmt::format("{} ({})", node, progress));
  }
  return nodes.empty() ? "-" : fmt::format("{}", fmt::join(nodes, ", "));
}

bool is_same_model(const std::string& name, const std::string& wanted) {
  return wanted.empty() || name == wanted || name == wanted + ":latest" ||
         name + ":latest" == wanted;
}

std::string summary_of(const std::vector<Fares>& all, const json::value& reply) {
  size_t well = 0, copying = 0;
  for (const Fares& fares : all) {
    well += fares.state == "ok" || fares.state == "over" ? 1 : 0;
    copying += fares.copying.size();
  }
  std::string text =
      fmt::format("\n{} of {} models have the copies they should have", well, all.size());
  if (copying > 0) text += fmt::format(", {} copies are on their way", copying);
  if (reply.is_object()) {
    if (const json::object* policy = JsonFields(reply.get_object()).object("default_policy")) {
      text += fmt::format("; default policy: {}", policy_text(*policy, true));
    }
  }
  return text + ".\n";
}

io::Task<Result<json::object>> read_policy(Cli& cli, const ReplicasOptions& options) {
  CO_TRY(json::value reply, co_await cli.api.get(policy_path(options)));
  if (!reply.is_object()) co_return fail(Errc::corrupt, "the node's answer is no object");
  co_return std::move(reply.get_object());
}

// With its revision, where the node told one: it then refuses what somebody changed meanwhile.
json::object changed(json::object policy, const ReplicasOptions& options) {
  if (options.factor) policy["factor"] = *options.factor;
  if (options.minimum) policy["minimum"] = *options.minimum;
  if (options.popular_extra) policy["popular_extra_max"] = *options.popular_extra;
  std::vector<std::string> pinned = JsonFields(policy).texts("pinned");
  pinned.insert(pinned.end(), options.pin.begin(), options.pin.end());
  std::erase_if(pinned, [&](const std::string& node) {
    return std::ranges::find(options.unpin, node) != options.unpin.end();
  });
  policy["pinned"] = json::array(pinned.begin(), pinned.end());
  return policy;
}

}  // namespace

CommandTask replicas_list_command(Cli& cli) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/replicas"));
  if (cli.json) {
    print_json(reply);
    co_return Result<void>{};
  }
  const std::vector<Fares> all = all_fares(reply);
  std::vector<std::vector<std::string>> rows;
  rows.reserve(all.size());
  for (const Fares& fares : all) {
    rows.push_back({fares.name, fares.state,
                    fmt::format("{}/{}", fares.copies.size(), fares.wanted),
                    format_size(fares.size), nodes_text(fares), fares.policy});
  }
  const std::vector<std::string> header{"MODEL", "STATE", "COPIES", "SIZE", "NODES", "POLICY"};
  print(format_table(header, rows));
  print(summary_of(all, reply));
  co_return Result<void>{};
}

CommandTask replicas_status_command(Cli& cli, ReplicasOptions options) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/replicas"));
  if (cli.json) {
    print_json(reply);
    co_return Result<void>{};
  }
  std::vector<Fares> all = all_fares(reply);
  std::erase_if(all, [&](const Fares& fares) { return !is_same_model(fares.name, options.model); });
  if (all.empty() && !options.model.empty()) {
    co_return fail(Errc::not_found, "model '{}' not found", options.model);
  }
  std::vector<std::vector<std::string>> rows;
  for (const Fares& fares : all) {
    for (const std::string& node : fares.copies) rows.push_back({fares.name, node, "there"});
    for (const std::string& node : fares.unreachable) {
      rows.push_back({fares.name, node, "unreachable"});
    }
    for (const auto& [node, progress] : fares.copying) rows.push_back({fares.name, node, progress});
  }
  const std::vector<std::string> header{"MODEL", "NODE", "COPY"};
  print(format_table(header, rows));
  print(summary_of(all, reply));
  co_return Result<void>{};
}

CommandTask replicas_set_command(Cli& cli, ReplicasOptions options) {
  CO_TRY(json::object policy, co_await read_policy(cli, options));
  auto set = co_await cli.api.put(policy_path(options), changed(policy, options));
  for (int tries = 1; !set && tries < kTriesMax; tries++) {
    auto now = co_await read_policy(cli, options);
    // It was refused for another reason than that somebody was faster.
    if (!now || number_of(*now, "revision") == number_of(policy, "revision")) break;
    policy = std::move(*now);
    set = co_await cli.api.put(policy_path(options), changed(policy, options));
  }
  if (!set) co_return fail(set.error());
  if (cli.json) {
    print_json(*set);
  } else if (set->is_object()) {
    print(fmt::format("{}: {}\n", options.model.empty() ? "default policy" : options.model,
                      policy_text(set->get_object(), true)));
  }
  co_return Result<void>{};
}

CommandTask replicas_reset_command(Cli& cli, ReplicasOptions options) {
  CO_TRY_VOID(co_await cli.api.remove(policy_path(options), {}));
  const std::string what = options.model.empty() ? "the default policy is as at first"
                                                 : options.model + " follows the default policy";
  print_done(cli, what + "\n");
  co_return Result<void>{};
}

CommandTask replicas_remove_command(Cli& cli, ReplicasOptions options) {
  const std::string force = options.force ? "?force=true" : "";
  const std::string model = http::percent_encode(options.model);
  CO_TRY_VOID(co_await cli.api.remove("/api/v1/replicas/" + model + force, {}));
  print_done(cli, fmt::format("removed this node's copy of {}\n", options.model));
  co_return Result<void>{};
}

}  // namespace om::app
