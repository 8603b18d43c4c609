#include <CLI/CLI.hpp>

#include "app/cli/command_line.h"

namespace om::app {
namespace {

void add_node_commands(CLI::App& cluster, Options& o, int& code) {
  static constexpr std::pair<const char*, const char*> kActions[] = {
      {"drain", "Give a node no new requests; running ones end"},
      {"undrain", "Give it requests again"},
      {"promote", "Let it keep a copy of the cluster's facts"},
      {"remove", "Take a node out for good; its certificate is refused from then on"}};
  for (const auto& [action, help] : kActions) {
    auto* command =
        add_command(cluster, o, code, action, help, [action](Cli& cli, const Options& x) {
          return cluster_node_command(cli, action, x.cluster);
        });
    command->add_option("node", o.cluster.node)->required();
    if (action == std::string_view("remove")) {
      command->add_flag("--force", o.cluster.force, "Also if no other node has some of its models");
    }
  }
}

void add_cluster(CLI::App& program, Options& o, int& code) {
  CLI::App* cluster = program.add_subcommand("cluster", "Make several machines one Ollama");
  cluster->require_subcommand(1);
  auto* init =
      add_command(*cluster, o, code, "init", "Make this node the first of a cluster",
                  [](Cli& cli, const Options& x) { return cluster_init_command(cli, x.cluster); });
  auto* join =
      add_command(*cluster, o, code, "join", "Bring this node into a cluster",
                  [](Cli& cli, const Options& x) { return cluster_join_command(cli, x.cluster); });
  join->add_option("token", o.cluster.token,
                   "What `cluster init` printed; \"-\": read from standard input")
      ->required();
  for (CLI::App* command : {init, join}) {
    command->add_option("--advertise", o.cluster.advertise,
                        "HOST[:PORT] under which other nodes reach this one");
  }
  join->add_option("--discover", o.cluster.discover,
                   "Look for nodes there too: HOST[:PORT], dns:NAME[:PORT], mdns")
      ->delimiter(',');
  auto* leave =
      add_command(*cluster, o, code, "leave", "Take this node out of its cluster",
                  [](Cli& cli, const Options& x) { return cluster_leave_command(cli, x.cluster); });
  leave->add_flag("--force", o.cluster.force,
                  "Also if the cluster cannot be told, or no other node has some of its models");
  add_command(*cluster, o, code, "status", "How the cluster fares",
              [](Cli& cli, const Options&) { return cluster_status_command(cli); });
  add_command(*cluster, o, code, "nodes", "List its nodes",
              [](Cli& cli, const Options&) { return cluster_nodes_command(cli); });
  auto* token =
      add_command(*cluster, o, code, "token", "Make a token for one more node",
                  [](Cli& cli, const Options& x) { return cluster_token_command(cli, x.cluster); });
  token->add_option("--expires-in", o.cluster.expires_in, "How long it is good (24h)");
  auto* backup = add_command(
      *cluster, o, code, "backup", "Write the cluster's facts to a file",
      [](Cli& cli, const Options& x) { return cluster_backup_command(cli, x.cluster); });
  backup->add_option("file", o.cluster.file, "Standard output if none is given");
  auto* restore = add_command(
      *cluster, o, code, "restore", "Read them back into a new cluster",
      [](Cli& cli, const Options& x) { return cluster_restore_command(cli, x.cluster); });
  restore->add_option("file", o.cluster.file)->required();
  add_node_commands(*cluster, o, code);
  auto* explain =
      add_command(program, o, code, "explain", "Why a request went to the node it went to",
                  [](Cli& cli, const Options& x) { return explain_command(cli, x.action); });
  explain->add_option("request", o.action, "X-Request-Id of its answer")->required();
}

void add_backend(CLI::App& program, Options& o, int& code) {
  CLI::App* backend = program.add_subcommand(
      "backend", "Let other servers (Ollama, vLLM, OpenAI's API) answer too");
  backend->require_subcommand(1);
  auto* one =
      add_command(*backend, o, code, "add", "Use a server's models",
                  [](Cli& cli, const Options& x) { return backend_add_command(cli, x.backend); });
  one->add_option("url", o.backend.url)->required();
  one->add_option("--key", o.backend.key, "Its API key; \"-\": read from standard input");
  one->add_option("--kind", o.backend.kind, "ollama, llama-server, vllm or openai; else found out");
  one->add_option("--name", o.backend.name, "What it is called here");
  one->add_option("--models", o.backend.models, "Offer only these")->delimiter(',');
  add_command(*backend, o, code, "list", "List them and how they fare",
              [](Cli& cli, const Options&) { return backend_list_command(cli); });
  auto* gone = add_command(
      *backend, o, code, "remove", "Use one no more",
      [](Cli& cli, const Options& x) { return backend_remove_command(cli, x.backend); });
  gone->add_option("name", o.backend.name)->required();
}

void add_replicas(CLI::App& program, Options& o, int& code) {
  CLI::App* replicas = program.add_subcommand("replicas", "Copies of models in the cluster");
  replicas->require_subcommand(0, 1);  // In `replicas status list`, list is a model.
  replicas->add_flag("--json", o.json, "Print what the server says, as JSON");
  replicas->callback([&o, &code, replicas] {
    if (!replicas->get_subcommands().empty()) return;
    code = run_client(o, [](Cli& cli, const Options&) { return replicas_list_command(cli); });
  });
  add_command(*replicas, o, code, "list", "How every model fares",
              [](Cli& cli, const Options&) { return replicas_list_command(cli); });
  auto* status = add_command(
      *replicas, o, code, "status", "Every copy, those under way with their progress",
      [](Cli& cli, const Options& x) { return replicas_status_command(cli, x.replicas); });
  auto* set =
      add_command(*replicas, o, code, "set", "Change a model's policy; without one: the default",
                  [](Cli& cli, const Options& x) { return replicas_set_command(cli, x.replicas); });
  set->add_option("--factor", o.replicas.factor, "Copies that are wanted");
  set->add_option("--min", o.replicas.minimum, "With fewer copies it is in danger");
  // One word each: what follows is the model.
  set->add_option("--pin", o.replicas.pin, "Nodes that have it in any case")
      ->delimiter(',')
      ->allow_extra_args(false);
  set->add_option("--unpin", o.replicas.unpin, "No longer these")
      ->delimiter(',')
      ->allow_extra_args(false);
  set->add_option("--popular-extra", o.replicas.popular_extra,
                  "Further copies at most while it is popular");
  auto* reset = add_command(
      *replicas, o, code, "reset", "Let a model follow the default policy again",
      [](Cli& cli, const Options& x) { return replicas_reset_command(cli, x.replicas); });
  for (CLI::App* command : {status, set, reset}) command->add_option("model", o.replicas.model);
  auto* remove = add_command(
      *replicas, o, code, "remove", "Remove this node's copy of a model",
      [](Cli& cli, const Options& x) { return replicas_remove_command(cli, x.replicas); });
  remove->add_option("model", o.replicas.model)->required();
  remove->add_flag("--force", o.replicas.force, "Also if it is the last copy that answers");
}

}  // namespace

void add_cluster_commands(CLI::App& program, Options& o, int& code) {
  add_cluster(program, o, code);
  add_backend(program, o, code);
  add_replicas(program, o, code);
}

}  // namespace om::app
