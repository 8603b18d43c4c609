#include "app/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/cli/config_command.h"
#include "app/cli/terminal.h"
#include "base/strings.h"

namespace om::app {
namespace {

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

// A boolean variable as Ollama reads it: anything but a clear no counts as yes.
bool is_set(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return false;
  const std::string_view value = trim(text);
  return !value.empty() && value != "0" && !iequals(value, "false") && !iequals(value, "f");
}

io::Task<void> run_into(CommandTask task, Result<void>& result) {
  result = co_await std::move(task);
}

}  // namespace

void print_error(bool json, const std::string& what, const std::string& advice) {
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

CLI::App* add_command(CLI::App& program, Options& options, int& code, const std::string& name,
                      const std::string& help, CommandMaker make) {
  CLI::App* command = program.add_subcommand(name, help);
  command->add_flag("--json", options.json, "Print what the server says, as JSON");
  command->callback([&options, &code, make] { code = run_client(options, make); });
  return command;
}

}  // namespace om::app
