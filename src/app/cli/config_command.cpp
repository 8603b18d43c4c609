#include "app/cli/config_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdlib>

#include "app/cli/terminal.h"

namespace om::app {

ConfigPlace config_place(const std::string& flag) {
  if (!flag.empty()) return {flag, true};
  if (const char* variable = std::getenv("OLLAMAMAX_CONFIG"); variable && *variable != '\0') {
    return {variable, true};
  }
  const char* home = std::getenv("HOME");
  const std::string own = std::string(home != nullptr ? home : "/root") + "/.ollama/ollamamax.toml";
  if (::access(own.c_str(), F_OK) == 0) return {own, false};
  return {"/etc/ollamamax.toml", false};
}

std::string show_config(const Config& config, bool json) {
  const auto lines = config.view();
  if (json) {
    boost::json::array entries;
    for (const SettingView& line : lines) {
      boost::json::object entry;
      entry["key"] = line.key;
      entry["value"] = line.value;
      entry["from"] = line.from;
      entry["variable"] = line.variable;
      entry["help"] = line.help;
      entries.push_back(std::move(entry));
    }
    return boost::json::serialize(entries) + "\n";
  }
  std::vector<std::vector<std::string>> rows;
  rows.reserve(lines.size());
  for (const SettingView& line : lines) rows.push_back({line.key, line.value, line.from});
  return format_table({"KEY", "VALUE", "FROM"}, rows);
}

namespace {

// Commands whose arguments are names of models.
constexpr std::string_view kModelCommands = "run|show|stop|cp|rm|push|pull";

std::string command_names(const CLI::App& program) {
  std::string names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : " ") + command->get_name();
  }
  return names;
}

std::string flag_names(const CLI::App& command) {
  std::string names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names += (names.empty() ? "--" : " --") + name;
    }
  }
  return names;
}

}  // namespace

std::string completion_script(const std::string& shell, const CLI::App& program) {
  const std::string names = command_names(program);
  std::string flags;
  const auto commands = program.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) {
    flags += fmt::format("    {}) flags=\"{}\" ;;\n", command->get_name(), flag_names(*command));
  }
  if (shell == "fish") {
    std::string out = "complete -c ollamamax -f\n";
    for (const CLI::App* command : commands) {
      out += fmt::format("complete -c ollamamax -n __fish_use_subcommand -a {} -d '{}'\n",
                         command->get_name(), command->get_description());
    }
    return out +
           "complete -c ollamamax -n '__fish_seen_subcommand_from run show stop cp rm push pull' "
           "-a '(ollamamax list 2>/dev/null | tail -n +2 | cut -d\" \" -f1)'\n";
  }
  const std::string prefix =
      shell == "zsh" ? "#compdef ollamamax\nautoload -U +X bashcompinit && bashcompinit\n" : "";
  return prefix + fmt::format(R"(_ollamamax() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} flags=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{}" -- "$word"))
    return
  fi
  case $command in
{}  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
    return
  fi
  case $command in
    {})
      local models
      models=$(ollamamax list 2>/dev/null | tail -n +2 | cut -d' ' -f1)
      COMPREPLY=($(compgen -W "$models" -- "$word"))
      # A colon ends a word for bash: give back only what follows it.
      if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"${{word%:*}}:"}}")
      fi
      ;;
  esac
}}
complete -F _ollamamax ollamamax
)",
                              names, flags, kModelCommands);
}

}  // namespace om::app
