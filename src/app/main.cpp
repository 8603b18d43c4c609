// The program: one command line for the node and for those who use it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "app/cli/command_line.h"
#include "app/cli/completion.h"
#include "app/cli/config_command.h"
#include "app/cli/terminal.h"
#include "app/run_node.h"
#include "base/strings.h"

namespace {

using namespace om;
using namespace om::app;

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
  add_model_commands(program, options, code);
  add_command(program, options, code, "version", "Show the versions of client and server",
              [](Cli& cli, const Options&) { return version_command(cli); });
  add_cluster_commands(program, options, code);
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
