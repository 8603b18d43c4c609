#include "app/cli/cluster.h"

#include "app/cli/terminal.h"
#include "base/duration.h"
#include "base/json_fields.h"
#include "metadata/backup.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr std::chrono::seconds kReadyMax{60};
constexpr std::chrono::milliseconds kReadyInterval{250};
constexpr double kTermShownMs = 0.5;

// A node that enters or leaves a cluster starts anew: waits until it answers as part of it, or by
// itself, as which it may be ready for nobody.
io::Task<Result<json::object>> wait_until(Cli& cli, bool in_cluster) {
  const io::TimePoint end = cli.world().clock.now() + kReadyMax;
  Error last{Errc::deadline_exceeded,
             "the node did not come back within a minute: it may still let answers end "
             "(server.drain_time); see its log"};
  while (cli.world().clock.now() < end) {
    CO_TRY_VOID(co_await cli.world().clock.sleep_for(kReadyInterval));
    const auto reply = co_await cli.api.get("/api/v1/cluster");
    if (!reply || !reply->is_object()) continue;
    bool is_in = false, is_ready = false;
    const JsonFields fields(reply->get_object());
    fields.read("in_cluster", is_in);
    fields.read("ready", is_ready);
    if (is_in == in_cluster && (is_ready || !in_cluster)) co_return reply->get_object();
  }
  co_return fail(std::move(last));
}

std::string gigabytes(uint64_t used, uint64_t total) {
  return fmt::format("{:.1f}/{:.1f} GB", static_cast<double>(used) / 1e9,
                     static_cast<double>(total) / 1e9);
}

std::string models_in_memory(const JsonFields& node) {
  std::string text;
  const json::array* runners = node.array("runners");
  if (!runners) return "-";
  for (const json::value& value : *runners) {
    if (!value.is_object()) continue;
    const JsonFields runner(value.get_object());
    int running = 0, slots = 0;
    runner.read("running", running);
    runner.read("slots", slots);
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}/{}", runner.text("model"), running, slots);
  }
  return text.empty() ? "-" : text;
}

// Cut off: its own etcd reaches no majority, while the node itself may well be there.
std::string role_of(bool voter, bool reaches_majority) {
  if (!voter) return "-";
  return reaches_majority ? "voter" : "voter (cut off)";
}

void print_nodes(const json::object& status) {
  std::vector<std::vector<std::string>> rows;
  if (const json::array* nodes = JsonFields(status).array("nodes")) {
    for (const json::value& value : *nodes) {
      if (!value.is_object()) continue;
      const JsonFields node(value.get_object());
      uint64_t used = 0, total = 0;
      bool voter = false, self = false, hears = true;
      node.read("memory_used", used);
      node.read("memory_total", total);
      node.read("voter", voter);
      node.read("majority", hears);
      node.read("self", self);
      rows.push_back({node.text("name") + (self ? " *" : ""), node.text("state"),
                      node.text("address"), role_of(voter, hears), gigabytes(used, total),
                      models_in_memory(node)});
    }
  }
  const std::vector<std::string> header{"NODE", "STATE", "ADDRESS", "ROLE", "MEMORY", "LOADED"};
  print(format_table(header, rows));
}

void print_join_advice(const std::string& token) {
  print(
      fmt::format("To add a machine, run there within a day:\n\n"
                  "    ollamamax cluster join {}\n\n"
                  "The token is good for one node; `ollamamax cluster token` makes another.\n",
                  token));
}

// A model over several nodes: who holds how much of it.
void print_split(const json::object& split) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&rows](const JsonFields& holder) {
    int blocks = 0;
    uint64_t bytes = 0;
    holder.read("blocks", blocks);
    holder.read("bytes", bytes);
    rows.push_back({holder.text("node"), std::to_string(blocks),
                    fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9)});
  };
  add(JsonFields(split));
  if (const json::array* parts = JsonFields(split).array("parts")) {
    for (const json::value& part : *parts) {
      if (part.is_object()) add(JsonFields(part.get_object()));
    }
  }
  const std::vector<std::string> header{"NODE", "LAYERS", "MEMORY"};
  print("No node can hold the model; these run it together:\n\n" + format_table(header, rows));
}

// A node as a decision saw it: its cost and what it is made of, or why it was left out.
std::vector<std::string> candidate_row(const json::object& candidate) {
  const JsonFields fields(candidate);
  const std::string excluded = fields.text("excluded");
  if (!excluded.empty()) return {fields.text("node"), "-", excluded};
  double total = 0;
  fields.read("cost_ms", total);
  std::string terms;
  if (const json::object* parts = fields.object("terms_ms")) {
    for (const auto& [name, value] : *parts) {
      const double ms = value.is_number() ? value.to_number<double>() : 0;
      if (ms < kTermShownMs) continue;
      terms += fmt::format("{}{} {:.0f}", terms.empty() ? "" : ", ", std::string_view(name), ms);
    }
  }
  return {fields.text("node"), fmt::format("{:.0f} ms", total), terms};
}

io::Task<Result<json::object>> ask(Cli& cli, std::string path, json::object body) {
  CO_TRY(const json::value reply, co_await cli.api.post(std::move(path), std::move(body)));
  if (!reply.is_object()) co_return fail(Errc::corrupt, "the node's answer is no object");
  co_return reply.get_object();
}

std::string restored_text(const json::object& reply) {
  std::string text = fmt::format("{} facts are back\n", number_of(reply, "entries"));
  const std::vector<std::string> kept = JsonFields(reply).texts("kept");
  if (!kept.empty()) {
    text += fmt::format("Models that are not what they were, and stay as they are: {}\n",
                        fmt::join(kept, ", "));
  }
  return text;
}

}  // namespace

CommandTask cluster_init_command(Cli& cli, ClusterOptions options) {
  json::object body{{"advertise", options.advertise}};
  CO_TRY(const json::object reply, co_await ask(cli, "/api/v1/cluster/init", std::move(body)));
  // At once: nobody tells the token again.
  if (cli.json) {
    print_json(reply);
  } else {
    print("The cluster is there; this node is its first.\n\n");
    print_join_advice(text_of(reply, "token"));
  }
  CO_TRY(const json::object status, co_await wait_until(cli, true));
  if (!cli.json) {
    print("\n");
    print_nodes(status);
  }
  co_return Result<void>{};
}

CommandTask cluster_join_command(Cli& cli, ClusterOptions options) {
  CO_TRY(options.token, given_secret(std::move(options.token), "token"));
  json::object body{{"token", options.token},
                    {"advertise", options.advertise},
                    {"discover", json::array(options.discover.begin(), options.discover.end())}};
  CO_TRY(const json::object reply, co_await ask(cli, "/api/v1/cluster/join", std::move(body)));
  CO_TRY(const json::object status, co_await wait_until(cli, true));
  if (cli.json) {
    print_json(status);
  } else {
    print("This node is in the cluster.\n\n");
    print_nodes(status);
  }
  co_return Result<void>{};
}

CommandTask cluster_leave_command(Cli& cli, ClusterOptions options) {
  json::object body{{"force", options.force}};
  CO_TRY(const json::object reply, co_await ask(cli, "/api/v1/cluster/leave", std::move(body)));
  CO_TRY(const json::object status, co_await wait_until(cli, false));
  if (cli.json) {
    print_json(status);
  } else {
    print("This node has left the cluster and serves by itself.\n");
  }
  co_return Result<void>{};
}

CommandTask cluster_nodes_command(Cli& cli) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/cluster"));
  if (!reply.is_object()) co_return fail(Errc::corrupt, "the node's answer is no object");
  const json::object& status = reply.get_object();
  if (cli.json) {
    const json::value* nodes = status.if_contains("nodes");
    print_json(nodes ? *nodes : json::value(json::array{}));
  } else {
    print_nodes(status);
  }
  co_return Result<void>{};
}

CommandTask cluster_status_command(Cli& cli) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/cluster"));
  if (cli.json) {
    print_json(reply);
    co_return Result<void>{};
  }
  if (!reply.is_object()) co_return fail(Errc::corrupt, "the node's answer is no object");
  const JsonFields fields(reply.get_object());
  bool in_cluster = false, agrees = false, removed = false;
  fields.read("in_cluster", in_cluster);
  fields.read("majority", agrees);
  fields.read("removed", removed);
  if (!in_cluster) {
    print(
        "This node is by itself. `ollamamax cluster init` begins a cluster, "
        "`ollamamax cluster join TOKEN` enters one.\n");
    co_return Result<void>{};
  }
  if (removed) {
    print(
        "This node was removed from its cluster. `ollamamax cluster leave` makes it a node of "
        "its own again; then it may join with a new token.\n");
    co_return Result<void>{};
  }
  print_nodes(reply.get_object());
  print(agrees ? "\nA majority of the voters can be reached: changes are possible.\n"
               : "\nNo majority of the voters can be reached: models are served, changes are "
                 "refused until it is back.\n");
  if (const json::object* certificate = fields.object("certificate")) {
    const std::string advice = text_of(*certificate, "advice");
    if (!advice.empty()) print("\nAttention: " + advice + "\n");
  }
  co_return Result<void>{};
}

CommandTask cluster_token_command(Cli& cli, ClusterOptions options) {
  json::object body{{"expires_in", options.expires_in}};
  CO_TRY(const json::object reply, co_await ask(cli, "/api/v1/cluster/token", std::move(body)));
  if (cli.json) {
    print_json(reply);
  } else {
    print(text_of(reply, "token") + "\n");
  }
  co_return Result<void>{};
}

CommandTask cluster_node_command(Cli& cli, std::string action, ClusterOptions options) {
  CO_TRY(std::string path, path_to("/api/v1/cluster/nodes/", options.node));
  if (action == "remove") {
    if (options.force) path += "?force=true";
    CO_TRY_VOID(co_await cli.api.remove(std::move(path), {}));
  } else {
    CO_TRY(const json::object reply, co_await ask(cli, path + "/" + action, {}));
  }
  print_done(cli, fmt::format("{}: {}\n", options.node, action));
  co_return Result<void>{};
}

CommandTask explain_command(Cli& cli, std::string request_id) {
  CO_TRY(std::string path, path_to("/api/v1/explain/", request_id));
  CO_TRY(const json::value reply, co_await cli.api.get(std::move(path)));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  std::vector<std::vector<std::string>> rows;
  if (const json::array* candidates = JsonFields(reply.get_object()).array("candidates")) {
    for (const json::value& candidate : *candidates) {
      if (candidate.is_object()) rows.push_back(candidate_row(candidate.get_object()));
    }
  }
  if (const json::object* split = JsonFields(reply.get_object()).object("split")) {
    print_split(*split);
    co_return Result<void>{};
  }
  const std::vector<std::string> header{"NODE", "COST", "WHY"};
  print(format_table(header, rows));
  co_return Result<void>{};
}

CommandTask cluster_backup_command(Cli& cli, ClusterOptions options) {
  CO_TRY(const std::string text, co_await cli.api.get_text("/api/v1/cluster/backup"));
  if (options.file.empty() || options.file == "-") {
    print(text);
    co_return Result<void>{};
  }
  CO_TRY_VOID(cli.world().files.write_file(options.file, text));
  print_done(cli, fmt::format("the cluster's facts are in {}\n", options.file));
  co_return Result<void>{};
}

CommandTask cluster_restore_command(Cli& cli, ClusterOptions options) {
  CO_TRY(std::string text, cli.world().files.read_file(options.file, metadata::kBackupBytesMax));
  CO_TRY(const json::value reply,
         co_await cli.api.post_text("/api/v1/cluster/restore", std::move(text)));
  if (cli.json) {
    print_json(reply);
  } else if (reply.is_object()) {
    print(restored_text(reply.get_object()));
  }
  co_return Result<void>{};
}

}  // namespace om::app
