// The commands of the program, one function each. They return an error for the user to read; main
// prints it as "Error: ..." and exits with 1.
#pragma once

#include <string>
#include <vector>

#include "app/cli/api_client.h"
#include "io/real.h"

namespace om::app {

// What every command works with. Lives as long as the command runs.
struct Cli {
  io::RealWorld& real;
  ApiClient& api;
  bool json = false;        // --json: print what the API says instead of tables.
  bool quiet_bars = false;  // Standard error is no terminal.

  io::World& world() { return real.world(); }
};

using CommandTask = io::Task<Result<void>>;

CommandTask list_command(Cli& cli, std::string prefix);
CommandTask ps_command(Cli& cli, std::string prefix);
CommandTask stop_command(Cli& cli, std::string model);
CommandTask copy_command(Cli& cli, std::string from, std::string to);
CommandTask remove_command(Cli& cli, std::vector<std::string> models);
CommandTask version_command(Cli& cli);

struct PinOptions {
  std::string model;  // Of pin; empty: list all pins.
  std::string node;   // Empty: wherever the model is.
};
CommandTask pin_command(Cli& cli, PinOptions options);
CommandTask unpin_command(Cli& cli, PinOptions options);

struct ShowOptions {
  std::string model;
  bool license = false, modelfile = false, parameters = false, template_text = false,
       system = false, verbose = false;
};
CommandTask show_command(Cli& cli, ShowOptions options);

// `action` is "pull" or "push".
CommandTask transfer_command(Cli& cli, std::string action, std::string model, bool insecure);

struct CreateOptions {
  std::string model;
  std::string file;  // The Modelfile; "Modelfile" if not given.
  bool file_given = false;
  std::string quantize, draft_quantize;
};
CommandTask create_command(Cli& cli, CreateOptions options);

struct RunOptions {
  std::string model;
  std::vector<std::string> prompt;
  std::string keep_alive, format;
  std::optional<std::string> think;  // "true", "false", "low", ... ; given without a value: "true".
  bool verbose = false, insecure = false, no_word_wrap = false, hide_thinking = false,
       truncate = true;
  int dimensions = 0;
  std::string history_file;  // Of the interactive chat; empty: none.
};
CommandTask run_command(Cli& cli, RunOptions options);

// Writes all of it to standard output; a closed pipe ends the program quietly.
void print(std::string_view text);
void print_json(const boost::json::value& value);
// For commands that change something: prints this line, or with --json that it is done.
void print_done(const Cli& cli, std::string_view line);
std::string text_of(const boost::json::object& object, std::string_view key);
uint64_t number_of(const boost::json::object& object, std::string_view key);

}  // namespace om::app
