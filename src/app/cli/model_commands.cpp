#include <CLI/CLI.hpp>

#include "app/cli/command_line.h"

namespace om::app {
namespace {

void add_making_commands(CLI::App& program, Options& o, int& code) {
  auto* create = add_command(program, o, code, "create", "Make a model from a Modelfile",
                             [](Cli& cli, const Options& x) {
                               CreateOptions options = x.create;
                               options.file_given = !options.file.empty();
                               return create_command(cli, std::move(options));
                             });
  create->add_option("model", o.create.model)->required();
  create->add_option("-f,--file", o.create.file, "The Modelfile (default: ./Modelfile)");
  create->add_option("-q,--quantize", o.create.quantize, "Quantize to this type, such as q4_K_M");
  create->add_option("--draft-quantize", o.create.draft_quantize, "The same for the draft model");

  auto* run = add_command(program, o, code, "run", "Chat with a model, or ask it once",
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

void add_keeping_commands(CLI::App& program, Options& o, int& code) {
  auto* list = add_command(program, o, code, "list", "List models",
                           [](Cli& cli, const Options& x) { return list_command(cli, x.prefix); });
  list->alias("ls");
  list->add_option("prefix", o.prefix, "Only names that begin so");
  auto* ps = add_command(program, o, code, "ps", "List loaded models",
                         [](Cli& cli, const Options& x) { return ps_command(cli, x.prefix); });
  ps->add_option("prefix", o.prefix, "Only names that begin so");
  auto* show = add_command(program, o, code, "show", "Show a model's details",
                           [](Cli& cli, const Options& x) { return show_command(cli, x.show); });
  show->add_option("model", o.show.model)->required();
  show->add_flag("--license", o.show.license, "Show its license");
  show->add_flag("--modelfile", o.show.modelfile, "Show its Modelfile");
  show->add_flag("--parameters", o.show.parameters, "Show its parameters");
  show->add_flag("--template", o.show.template_text, "Show its template");
  show->add_flag("--system", o.show.system, "Show its system message");
  show->add_flag("-v,--verbose", o.show.verbose, "Show metadata and tensors too");
  auto* stop = add_command(program, o, code, "stop", "Unload a model",
                           [](Cli& cli, const Options& x) { return stop_command(cli, x.model); });
  stop->add_option("model", o.model)->required();
  auto* pin = add_command(program, o, code, "pin", "Keep a model in memory; without one: list them",
                          [](Cli& cli, const Options& x) { return pin_command(cli, x.pin); });
  auto* unpin = add_command(program, o, code, "unpin", "Let a model leave memory again",
                            [](Cli& cli, const Options& x) { return unpin_command(cli, x.pin); });
  pin->add_option("model", o.pin.model);
  unpin->add_option("model", o.pin.model)->required();
  for (CLI::App* command : {pin, unpin}) {
    command->add_option("--node", o.pin.node, "There, and not wherever it is in memory")
        ->needs(command->get_option("model"));
  }
  auto* copy = add_command(program, o, code, "cp", "Copy a model", [](Cli& cli, const Options& x) {
    return copy_command(cli, x.source, x.destination);
  });
  copy->add_option("source", o.source)->required();
  copy->add_option("destination", o.destination)->required();
  auto* remove = add_command(
      program, o, code, "rm", "Remove models",
      [](Cli& cli, const Options& x) { return remove_command(cli, x.models_to_remove); });
  remove->add_option("models", o.models_to_remove)->required();
  for (const char* action : {"pull", "push"}) {
    const std::string help = std::string(action) == "pull" ? "Fetch a model from a registry"
                                                           : "Send a model to a registry";
    auto* transfer =
        add_command(program, o, code, action, help, [action](Cli& cli, const Options& x) {
          return transfer_command(cli, action, x.model, x.insecure);
        });
    transfer->add_option("model", o.model)->required();
    transfer->add_flag("--insecure", o.insecure, "Allow registries without TLS");
  }
}

}  // namespace

void add_model_commands(CLI::App& program, Options& o, int& code) {
  add_making_commands(program, o, code);
  add_keeping_commands(program, o, code);
}

}  // namespace om::app
