// The names and flags of the program's commands, and how a command is run that asks a node. The
// library is CLI11: https://cliutils.github.io/CLI11/book/
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/cli/backend.h"
#include "app/cli/cluster.h"
#include "app/cli/command.h"
#include "app/cli/replicas.h"
#include "app/settings.h"

namespace CLI {
class App;
}

namespace om::app {

// What stands on the command line, for all commands. Lives as long as the program.
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
  std::string think;
};

// Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage, 130 interrupted.
inline constexpr int kFailed = 1, kUsage = 2, kInterrupted = 130;

// Ends a word of a prompt that CLI11 would take for a list, as it takes all in brackets.
inline constexpr char kNoList = '\x1f';

// The reason for people, with what to do about it, or for a program.
void print_error(bool json, const std::string& what, const std::string& advice = "");
// Prints the error if there is one; the exit code.
int report(const Result<void>& result, bool json);

// The settings of the configuration file alone.
Result<Config> load_file(const Options& options, io::Filesystem& files);

using CommandMaker = std::function<CommandTask(Cli&, const Options&)>;

// Runs one command with an io thread of its own until it is done or interrupted; the exit code.
int run_client(const Options& options, const CommandMaker& make);

// Adds a command whose work is `make`; `code` gets the exit code.
CLI::App* add_command(CLI::App& program, Options& options, int& code, const std::string& name,
                      const std::string& help, CommandMaker make);

// Those that use, fetch, make and remove models.
void add_model_commands(CLI::App& program, Options& options, int& code);
// cluster, explain, backend and replicas.
void add_cluster_commands(CLI::App& program, Options& options, int& code);

}  // namespace om::app
