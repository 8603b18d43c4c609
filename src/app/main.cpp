// The program: one command line for the node and for those who use it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/cli/backend.h"
#include "app/cli/cluster.h"
#include "app/cli/command.h"
#include "app/cli/completion.h"
#include "app/cli/config_command.h"
#include "app/cli/replicas.h"
#include "app/cli/terminal.h"
#include "app/node.h"
#include "base/strings.h"

namespace {

using namespace om;
using namespace om::app;

struct Options {
  std::string config_file, listen, models, prefix, source, destination, model, action;
  std::vector<std::string> models_to_remove, settings;
  bool json = false, insecure = false, version = false;
  PinOptions pin;
  ShowOptions show;
  CreateOptions create;
  RunOptions run;
  ClusterOptions cluster;
  BackendOptions backend;
  ReplicasOptions replicas;
  std::string think, config_output;
};

// Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;
constexpr char kNoList = '\x1f';  // Behind a word that looks like a list, see arguments_of().

// The reason for people, with what to do about it, or for a program.
void print_error(bool json, const std::string& what, const std::string& advice = "") {
  const std::string text = json
                               ? boost::json::serialize(boost::json::object{{"error", what}}) + "\n"
                               : fmt::format("Error: {}\n{}", what, advice);
  std::fputs(text.c_str(), stderr);
}

int report(const Result<void>& result, bool json) {
  if (result) return 0;
  print_error(json, result.error().what);
  if (result.error().code == Errc::cancelled) return kInterrupted;
  return kFailed;
}

Result<Config> load_file(const Options& options, io::Filesystem& files) {
  Config config;
  const ConfigPlace place = config_place(options.config_file);
  if (place.required || files.exists(place.path)) {
    TRY(const std::string text, files.read_file(place.path, kConfigBytesMax));
    TRY_VOID(config.apply_file(text, place.path));
  }
  return config;
}

// What a command needs that only asks a node. The variables of nodes are none of its business, and
// may well be wrong where no node runs.
Result<Settings> load_client_settings(const Options& options, io::Filesystem& files) {
  TRY(Config config, load_file(options, files));
  TRY_VOID(config.apply_environment([](const char* name) {
    const std::string_view asked = name;
    return asked == "OLLAMA_HOST" || asked == "OLLAMAMAX_STATE" ? std::getenv(name) : nullptr;
  }));
  return config.settings();
}

Result<Config> load_config(const Options& options, io::Filesystem& files) {
  TRY(Config config, load_file(options, files));
  TRY_VOID(config.apply_environment([](const char* name) { return std::getenv(name); }));
  if (!options.listen.empty()) {
    TRY_VOID(config.set("server.listen", options.listen, Source::flag, "--listen"));
  }
  if (!options.models.empty()) {
    TRY_VOID(config.set("models.directory", options.models, Source::flag, "--models"));
  }
  for (const std::string& setting : options.settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return fail(Errc::invalid_argument, "--set {}: expected KEY=VALUE", setting);
    }
    TRY_VOID(
        config.set(setting.substr(0, equals), setting.substr(equals + 1), Source::flag, "--set"));
  }
  TRY_VOID(config.check());
  return config;
}

// A boolean variable as Ollama reads it: anything but a clear no counts as yes.
bool is_set(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return false;
  const std::string_view value = trim(text);
  return !value.empty() && value != "0" && !iequals(value, "false") && !iequals(value, "f");
}

// What to tell somebody whose command does not exist.
int unknown_command(const CLI::App& program, const std::string& word, bool json) {
  std::vector<std::string_view> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    names.emplace_back(command->get_name());
  }
  const auto near = nearest_word(word, names);
  const std::string advice = near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near);
  print_error(json, fmt::format("unknown command \"{}\"{}", word, advice),
              "Run ollamamax --help for the list.\n");
  return kUsage;
}

io::Task<void> run_into(CommandTask task, Result<void>& result) {
  result = co_await std::move(task);
}

using CommandMaker = std::function<CommandTask(Cli&, const Options&)>;

int run_client(const Options& options, const CommandMaker& make) {
  std::signal(SIGPIPE, SIG_DFL);  // `ollamamax list | head` ends quietly.
  io::RealOptions threads;
  threads.worker_threads = 1;
  io::RealWorld real(threads);
  const auto settings = load_client_settings(options, real.world().files);
  if (!settings) return report(fail(settings.error()), options.json);
  const auto host = parse_host(settings->listen.front());
  if (!host) return report(fail(host.error()), options.json);
  const char* key = std::getenv("OLLAMA_API_KEY");
  ApiClient api(real.world(), *host, key == nullptr ? "" : key);
  Cli cli{real, api, options.json, !is_terminal(2)};
  Options prepared = options;
  prepared.run.history_file = io::join(settings->state_directory, "history");
  if (is_set("OLLAMA_NOHISTORY")) prepared.run.history_file.clear();
  Result<void> result;
  real.run_until_done(run_into(make(cli, prepared), result));
  return report(result, options.json);
}

int run_server(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  auto config = Result<Config>(Config());
  {
    io::RealWorld real;
    config = load_config(options, real.world().files);
  }
  if (!config) return report(fail(config.error()), options.json);
  return report(run_node(config->settings()), options.json);
}

// Adds a command whose work is `make`; `code` gets the exit code.
CLI::App* add(CLI::App& program, Options& options, int& code, const std::string& name,
              const std::string& help, CommandMaker make) {
  CLI::App* command = program.add_subcommand(name, help);
  command->add_flag("--json", options.json, "Print what the server says, as JSON");
  command->callback([&options, &code, make] { code = run_client(options, make); });
  return command;
}

void add_model_commands(CLI::App& program, Options& o, int& code) {
  auto* list = add(program, o, code, "list", "List models",
                   [](Cli& cli, const Options& x) { return list_command(cli, x.prefix); });
  list->alias("ls");
  list->add_option("prefix", o.prefix, "Only names that begin so");
  auto* ps = add(program, o, code, "ps", "List loaded models",
                 [](Cli& cli, const Options& x) { return ps_command(cli, x.prefix); });
  ps->add_option("prefix", o.prefix, "Only names that begin so");
  auto* show = add(program, o, code, "show", "Show a model's details",
                   [](Cli& cli, const Options& x) { return show_command(cli, x.show); });
  show->add_option("model", o.show.model)->required();
  show->add_flag("--license", o.show.license, "Show its license");
  show->add_flag("--modelfile", o.show.modelfile, "Show its Modelfile");
  show->add_flag("--parameters", o.show.parameters, "Show its parameters");
  show->add_flag("--template", o.show.template_text, "Show its template");
  show->add_flag("--system", o.show.system, "Show its system message");
  show->add_flag("-v,--verbose", o.show.verbose, "Show metadata and tensors too");
  auto* stop = add(program, o, code, "stop", "Unload a model",
                   [](Cli& cli, const Options& x) { return stop_command(cli, x.model); });
  stop->add_option("model", o.model)->required();
  auto* pin = add(program, o, code, "pin", "Keep a model in memory; without one: list them",
                  [](Cli& cli, const Options& x) { return pin_command(cli, x.pin); });
  auto* unpin = add(program, o, code, "unpin", "Let a model leave memory again",
                    [](Cli& cli, const Options& x) { return unpin_command(cli, x.pin); });
  pin->add_option("model", o.pin.model);
  unpin->add_option("model", o.pin.model)->required();
  for (CLI::App* command : {pin, unpin}) {
    command->add_option("--node", o.pin.node, "There, and not wherever it is in memory")
        ->needs(command->get_option("model"));
  }
  auto* copy = add(program, o, code, "cp", "Copy a model", [](Cli& cli, const Options& x) {
    return copy_command(cli, x.source, x.destination);
  });
  copy->add_option("source", o.source)->required();
  copy->add_option("destination", o.destination)->required();
  auto* remove = add(program, o, code, "rm", "Remove models", [](Cli& cli, const Options& x) {
    return remove_command(cli, x.models_to_remove);
  });
  remove->add_option("models", o.models_to_remove)->required();
  for (const char* action : {"pull", "push"}) {
    const std::string help = std::string(action) == "pull" ? "Fetch a model from a registry"
                                                           : "Send a model to a registry";
    auto* transfer = add(program, o, code, action, help, [action](Cli& cli, const Options& x) {
      return transfer_command(cli, action, x.model, x.insecure);
    });
    transfer->add_option("model", o.model)->required();
    transfer->add_flag("--insecure", o.insecure, "Allow registries without TLS");
  }
}

void add_making_commands(CLI::App& program, Options& o, int& code) {
  auto* create = add(program, o, code, "create", "Make a model from a Modelfile",
                     [](Cli& cli, const Options& x) {
                       CreateOptions options = x.create;
                       options.file_given = !options.file.empty();
                       return create_command(cli, std::move(options));
                     });
  create->add_option("model", o.create.model)->required();
  create->add_option("-f,--file", o.create.file, "The Modelfile (default: ./Modelfile)");
  create->add_option("-q,--quantize", o.create.quantize, "Quantize to this type, such as q4_K_M");
  create->add_option("--draft-quantize", o.create.draft_quantize, "The same for the draft model");

  auto* run = add(program, o, code, "run", "Chat with a model, or ask it once",
                  [](Cli& cli, const Options& x) {
                    RunOptions chosen = x.run;
                    if (!x.think.empty()) chosen.think = x.think;
                    for (std::string& word : chosen.prompt) {
                      if (word.ends_with(kNoList)) word.pop_back();
                    }
                    return run_command(cli, std::move(chosen));
                  });
  run->add_option("model", o.run.model)->required();
  run->add_option("prompt", o.run.prompt);
  run->add_option("--keepalive", o.run.keep_alive, "How long to keep the model loaded (5m)");
  run->add_flag("--verbose", o.run.verbose, "Show timings");
  run->add_flag("--insecure", o.run.insecure, "Allow registries without TLS");
  run->add_flag("--nowordwrap", o.run.no_word_wrap, "Do not break lines at words");
  run->add_option("--format", o.run.format, "Answer format, such as json");
  // Its value follows an equals sign only: `run --think MODEL` must not take the model for it.
  run->add_flag("--think{true}", o.think, "Let it think: --think or --think=low, false, ...");
  run->add_flag("--hidethinking", o.run.hide_thinking, "Do not show the thinking");
  run->add_flag("--truncate,!--no-truncate", o.run.truncate, "Cut input that is too long");
  run->add_option("--dimensions", o.run.dimensions, "Length of the embedding");
}

void add_serve(CLI::App& program, Options& o, int& code) {
  CLI::App* serve = program.add_subcommand("serve", "Run a node");
  serve->alias("start");
  serve->add_option("--listen", o.listen, "Address to answer on (127.0.0.1:11434)");
  serve->add_option("--models", o.models, "Folder of the models");
  serve->add_option("--set", o.settings, "KEY=VALUE for any key of the configuration");
  serve->callback([&o, &code] { code = run_server(o); });
}

void add_config(CLI::App& program, Options& o, int& code) {
  CLI::App* config = program.add_subcommand("config", "Check, show or write the configuration");
  config->require_subcommand(1);
  CLI::App* validate = config->add_subcommand("validate", "Check the file and the environment");
  validate->add_option("file", o.config_file, "The file to check, if not the usual one");
  validate->add_flag("--json", o.json, "As JSON");
  validate->callback([&o, &code] {
    io::RealWorld real;
    const auto loaded = load_config(o, real.world().files);
    if (o.json) {
      print_json(loaded ? boost::json::object{{"valid", true}}
                        : boost::json::object{{"valid", false}, {"error", loaded.error().what}});
    } else if (loaded) {
      print("the configuration is valid\n");
    }
    code = loaded ? 0 : o.json ? kFailed : report(fail(loaded.error()), false);
  });
  CLI::App* show = config->add_subcommand("show", "Every key, its value and where it came from");
  show->add_flag("--json", o.json, "As JSON");
  show->callback([&o, &code] {
    io::RealWorld real;
    const auto loaded = load_config(o, real.world().files);
    if (loaded) print(show_config(*loaded, o.json));
    code = loaded ? 0 : report(fail(loaded.error()), o.json);
  });
  CLI::App* generate = config->add_subcommand("generate", "Print a file with every key");
  generate->add_flag("--json", o.json, "The keys and their defaults, as JSON");
  generate->callback([&o, &code] {
    print(o.json ? show_config(Config(), true) : Config().example());
    code = 0;
  });
}

void add_node_commands(CLI::App& cluster, Options& o, int& code) {
  static constexpr std::pair<const char*, const char*> kActions[] = {
      {"drain", "Give a node no new requests; running ones end"},
      {"undrain", "Give it requests again"},
      {"promote", "Let it keep a copy of the cluster's facts"},
      {"remove", "Take a node out for good; its certificate is refused from then on"}};
  for (const auto& [action, help] : kActions) {
    auto* command = add(cluster, o, code, action, help, [action](Cli& cli, const Options& x) {
      return cluster_node_command(cli, action, x.cluster);
    });
    command->add_option("node", o.cluster.node)->required();
    if (action == std::string_view("remove")) {
      command->add_flag("--force", o.cluster.force, "Also if no other node has some of its models");
    }
  }
}

void add_backend(CLI::App& program, Options& o, int& code) {
  CLI::App* backend = program.add_subcommand(
      "backend", "Let other servers (Ollama, vLLM, OpenAI's API) answer too");
  backend->require_subcommand(1);
  auto* one = add(*backend, o, code, "add", "Use a server's models",
                  [](Cli& cli, const Options& x) { return backend_add_command(cli, x.backend); });
  one->add_option("url", o.backend.url)->required();
  one->add_option("--key", o.backend.key, "Its API key; \"-\": read from standard input");
  one->add_option("--kind", o.backend.kind, "ollama, llama-server, vllm or openai; else found out");
  one->add_option("--name", o.backend.name, "What it is called here");
  one->add_option("--models", o.backend.models, "Offer only these")->delimiter(',');
  add(*backend, o, code, "list", "List them and how they fare",
      [](Cli& cli, const Options&) { return backend_list_command(cli); });
  auto* gone = add(*backend, o, code, "remove", "Use one no more", [](Cli& cli, const Options& x) {
    return backend_remove_command(cli, x.backend);
  });
  gone->add_option("name", o.backend.name)->required();
}

void add_cluster(CLI::App& program, Options& o, int& code) {
  CLI::App* cluster = program.add_subcommand("cluster", "Make several machines one Ollama");
  cluster->require_subcommand(1);
  auto* init = add(*cluster, o, code, "init", "Make this node the first of a cluster",
                   [](Cli& cli, const Options& x) { return cluster_init_command(cli, x.cluster); });
  auto* join = add(*cluster, o, code, "join", "Bring this node into a cluster",
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
      add(*cluster, o, code, "leave", "Take this node out of its cluster",
          [](Cli& cli, const Options& x) { return cluster_leave_command(cli, x.cluster); });
  leave->add_flag("--force", o.cluster.force,
                  "Also if the cluster cannot be told, or no other node has some of its models");
  add(*cluster, o, code, "status", "How the cluster fares",
      [](Cli& cli, const Options&) { return cluster_status_command(cli); });
  add(*cluster, o, code, "nodes", "List its nodes",
      [](Cli& cli, const Options&) { return cluster_nodes_command(cli); });
  auto* token =
      add(*cluster, o, code, "token", "Make a token for one more node",
          [](Cli& cli, const Options& x) { return cluster_token_command(cli, x.cluster); });
  token->add_option("--expires-in", o.cluster.expires_in, "How long it is good (24h)");
  auto* backup =
      add(*cluster, o, code, "backup", "Write the cluster's facts to a file",
          [](Cli& cli, const Options& x) { return cluster_backup_command(cli, x.cluster); });
  backup->add_option("file", o.cluster.file, "Standard output if none is given");
  auto* restore =
      add(*cluster, o, code, "restore", "Read them back into a new cluster",
          [](Cli& cli, const Options& x) { return cluster_restore_command(cli, x.cluster); });
  restore->add_option("file", o.cluster.file)->required();
  add_node_commands(*cluster, o, code);
  auto* explain = add(program, o, code, "explain", "Why a request went to the node it went to",
                      [](Cli& cli, const Options& x) { return explain_command(cli, x.action); });
  explain->add_option("request", o.action, "X-Request-Id of its answer")->required();
}

void add_replicas(CLI::App& program, Options& o, int& code) {
  CLI::App* replicas = program.add_subcommand("replicas", "Copies of models in the cluster");
  replicas->require_subcommand(0, 1);  // In `replicas status list`, list is a model.
  replicas->add_flag("--json", o.json, "Print what the server says, as JSON");
  replicas->callback([&o, &code, replicas] {
    if (!replicas->get_subcommands().empty()) return;
    code = run_client(o, [](Cli& cli, const Options&) { return replicas_list_command(cli); });
  });
  add(*replicas, o, code, "list", "How every model fares",
      [](Cli& cli, const Options&) { return replicas_list_command(cli); });
  auto* status =
      add(*replicas, o, code, "status", "Every copy, those under way with their progress",
          [](Cli& cli, const Options& x) { return replicas_status_command(cli, x.replicas); });
  auto* set = add(*replicas, o, code, "set", "Change a model's policy; without one: the default",
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
  auto* reset =
      add(*replicas, o, code, "reset", "Let a model follow the default policy again",
          [](Cli& cli, const Options& x) { return replicas_reset_command(cli, x.replicas); });
  for (CLI::App* command : {status, set, reset}) command->add_option("model", o.replicas.model);
  auto* remove =
      add(*replicas, o, code, "remove", "Remove this node's copy of a model",
          [](Cli& cli, const Options& x) { return replicas_remove_command(cli, x.replicas); });
  remove->add_option("model", o.replicas.model)->required();
  remove->add_flag("--force", o.replicas.force, "Also if it is the last copy that answers");
}

// "Error: model is required", and how the command is used.
int wrong_usage(const CLI::App* program, const CLI::ParseError& error, bool json) {
  std::string command = program->get_name();
  while (!program->get_subcommands().empty()) {
    program = program->get_subcommands().front();
    command += " " + program->get_name();
  }
  print_error(json, error.what(), fmt::format("Run '{} --help' for its usage.\n", command));
  return kUsage;
}

// The words after the program's name, last first as CLI11 takes them; "help run" is "run --help".
std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  // CLI11 takes a word in brackets for a list of words, and a prompt may be one.
  bool runs = false;
  for (std::string& word : words) {
    if (runs && word.starts_with('[') && word.ends_with(']')) word += kNoList;
    runs = runs || word == "run";
  }
  std::ranges::reverse(words);
  return words;
}

}  // namespace

int main(int argc, char** argv) {
  use_utf8();
  Options options;
  int code = 0;
  CLI::App program("Ollama for every machine you own.", "ollamamax");
  program.require_subcommand(0, 1);
  program.fallthrough();  // For all below: --config and --json may follow the command too.
  program.add_option("--config", options.config_file, "Configuration file");
  program.add_flag("-v,--version", options.version, "Show the version");
  program.add_flag("--json", options.json,
                   "Results and errors as JSON (of serve and completion: errors only)");
  add_serve(program, options, code);
  add_making_commands(program, options, code);
  add_model_commands(program, options, code);
  add(program, options, code, "version", "Show the versions of client and server",
      [](Cli& cli, const Options&) { return version_command(cli); });
  add_cluster(program, options, code);
  add_backend(program, options, code);
  add_replicas(program, options, code);
  add_config(program, options, code);
  CLI::App* completion =
      program.add_subcommand("completion", "Print completions for bash, zsh or fish");
  completion->add_option("shell", options.action)
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&] { print(completion_script(options.action, program)); });
  const std::vector<std::string> words = arguments_of(argc, argv);
  try {
    program.parse(std::vector<std::string>(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help
    // What was wrong may have kept the flag from being read.
    const bool json = std::ranges::find(words, "--json") != words.end();
    const auto extra = program.remaining();
    if (program.get_subcommands().empty() && !extra.empty() && !extra.front().starts_with('-')) {
      return unknown_command(program, extra.front(), json);
    }
    return wrong_usage(&program, error, json);
  }
  if (options.version) {
    return run_client(options, [](Cli& cli, const Options&) { return version_command(cli); });
  }
  if (program.get_subcommands().empty()) print(program.help());
  return code;
}
