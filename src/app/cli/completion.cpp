// Each script carries one table: for every command, by its path ("ollamamax config show"), what may
// follow. The words before the cursor are walked through it, since one word may mean two commands
// (`list`, `replicas list`) or be no command at all (`--config FILE`, the name of a model).
#include "app/cli/completion.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>
#include <vector>

#include "base/strings.h"

namespace om::app {

namespace {

using Commands = std::vector<const CLI::App*>;
using Options = std::vector<const CLI::Option*>;

Commands commands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

// `command` and all below it.
void collect(const CLI::App& command, Commands& all) {
  all.push_back(&command);
  for (const CLI::App* below : commands_of(command)) collect(*below, all);
}

std::string path_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : path_of(*parent) + " " + command.get_name();
}

// The path in all its spellings, each in quotes, with `between` between them.
std::string spellings(const CLI::App& command, std::string_view between) {
  std::string all = fmt::format("\"{}\"", path_of(command));
  for (const std::string& alias : command.get_aliases()) {
    all += fmt::format("{}\"{} {}\"", between, path_of(*command.get_parent()), alias);
  }
  return all;
}

std::vector<std::string> spellings(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  return names;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool same_flag(const CLI::Option& left, const CLI::Option& right) {
  const auto others = spellings(right);
  return std::ranges::any_of(spellings(left), [&others](const std::string& name) {
    return std::ranges::find(others, name) != others.end();
  });
}

// The flags that may follow: its own and, as they fall through, those of the commands it is in.
Options flags_of(const CLI::App& command) {
  Options flags;
  for (const CLI::App* from = &command; from != nullptr; from = from->get_parent()) {
    for (const CLI::Option* option : from->get_options()) {
      if (!option->nonpositional()) continue;
      // `list --version` would be two commands.
      if (from != &command && option->check_name("--version")) continue;
      const auto same = [option](const CLI::Option* flag) { return same_flag(*flag, *option); };
      if (std::ranges::none_of(flags, same)) flags.push_back(option);
    }
  }
  return flags;
}

std::string flag_words(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::Option* flag : flags_of(command)) {
    for (const std::string& name : flag->get_lnames()) words.push_back("--" + name);
  }
  return join(words, " ");
}

// What comes after these on the command line is no command.
std::string flags_with_value(const Commands& commands) {
  std::vector<std::string> words;
  for (const CLI::App* command : commands) {
    for (const CLI::Option* option : command->get_options()) {
      if (!option->nonpositional() || !takes_value(*option)) continue;
      for (std::string& name : spellings(*option)) words.push_back(std::move(name));
    }
  }
  std::ranges::sort(words);
  words.erase(std::unique(words.begin(), words.end()), words.end());
  return join(words, " ");
}

bool has_argument(const CLI::App& command, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(command.get_options(), [&](const CLI::Option* option) {
    return option->get_positional() &&
           std::ranges::find(names, option->get_name(true)) != names.end();
  });
}

bool asks_for_model(const CLI::App& command) {
  return has_argument(command, {"model", "models", "source"});
}

// The words that an argument must be one of; CLI11 tells them only as text: "TEXT:{bash,fish}".
std::string choices_of(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string type = option->get_type_name();
    const size_t begin = type.find('{'), end = type.find('}');
    if (!option->get_positional() || begin == std::string::npos || end == std::string::npos) {
      continue;
    }
    std::string words = type.substr(begin + 1, end - begin - 1);
    std::ranges::replace(words, ',', ' ');
    return words;
  }
  return "";
}

std::string next_words(const CLI::App& command) {
  std::vector<std::string> words;
  for (const CLI::App* below : commands_of(command)) words.push_back(below->get_name());
  return words.empty() ? choices_of(command) : join(words, " ");
}

// For bash and zsh alike.
std::string walk_of_words(const Commands& commands) {
  std::string cases;
  for (const CLI::App* command : commands) {
    cases += fmt::format("    {}) at=\"{}\" next=\"{}\" flags=\"{}\" models={} ;;\n",
                         spellings(*command, "|"), path_of(*command), next_words(*command),
                         flag_words(*command), asks_for_model(*command) ? "1" : "");
  }
  return "# Sets at, next, flags and models for the command of this path, if there is one.\n"
         "_ollamamax_at() {\n  case $1 in\n" +
         cases +
         "  esac\n}\n"
         "# Does so for the words before the cursor; value: the next word is a flag's value.\n"
         "_ollamamax_walk() {\n  local word with_value=\" " +
         flags_with_value(commands) + R"( "
  value=
  _ollamamax_at ollamamax
  for word; do
    if [ "$word" = "=" ]; then continue; fi  # bash makes three words of --flag=value.
    if [ -n "$value" ]; then
      value=
      continue
    fi
    case $with_value in
      *" $word "*) value=1 ;;
      *) _ollamamax_at "$at $word" ;;
    esac
  done
}
)";
}

constexpr std::string_view kBash = R"sh(_ollamamax() {
  local at next flags models value word=${COMP_LINE:0:COMP_POINT}
  word=${word##*[[:space:]]}
  _ollamamax_walk "${COMP_WORDS[@]:1:COMP_CWORD-1}"
  COMPREPLY=()
  if [ -n "$value" ]; then return; fi  # Files, which bash knows.
  if [[ $word == -* ]]; then
    next=$flags
  elif [ -n "$models" ]; then
    next+=" $("${COMP_WORDS[0]}" list 2>/dev/null | tail -n +2 | cut -d' ' -f1)"
  fi
  COMPREPLY=($(compgen -W "$next" -- "$word"))
  # A colon ends a word for bash: give back only what follows it.
  if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*:}"}"}")
  fi
}
complete -o default -F _ollamamax ollamamax
)sh";

// Works sourced, and as a file `_ollamamax` in $fpath, whose first use calls what it defines.
constexpr std::string_view kZsh = R"sh(_ollamamax() {
  local at next flags models value
  _ollamamax_walk "${(@)words[2,CURRENT-1]}"
  if [[ -n $value ]]; then
    _files
  elif [[ $PREFIX == -*=* ]]; then
    compset -P '*='
    _files
  elif [[ $PREFIX == -* ]]; then
    compadd -- ${=flags}
  else
    [[ -n $models ]] && next+=" $($words[1] list 2>/dev/null | tail -n +2 | cut -d' ' -f1)"
    compadd -- ${=next} || _files
  fi
}
if [ "$funcstack[1]" = _ollamamax ]; then _ollamamax "$@"; else compdef _ollamamax ollamamax; fi
)sh";

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char letter : text) {
    if (letter == '\'' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + "'";
}

std::string fish_walk(const Commands& commands) {
  std::string cases;
  for (const CLI::App* command : commands) {
    if (command->get_parent() == nullptr) continue;
    cases += fmt::format("            case {}\n                set at \"{}\"\n",
                         spellings(*command, " "), path_of(*command));
  }
  return "# Whether the words before the cursor lead to this command.\n"
         "function __ollamamax_at\n    set -l with_value " +
         flags_with_value(commands) + R"(
    set -l at ollamamax
    set -l value 0
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        if test $value = 1
            set value 0
            continue
        end
        if contains -- $word $with_value
            set value 1
            continue
        end
        switch "$at $word"
)" + cases +
         R"(        end
    end
    test "$at" = "$argv"
end
function __ollamamax_models
    set -l words (commandline -opc)
    $words[1] list 2>/dev/null | tail -n +2 | cut -d' ' -f1
end
)";
}

std::string fish_script(const Commands& commands) {
  std::string out = fish_walk(commands) + "complete -c ollamamax -f\n";
  for (const CLI::App* command : commands) {
    const std::string here =
        fmt::format("complete -c ollamamax -n '__ollamamax_at {}'", path_of(*command));
    for (const CLI::App* below : commands_of(*command)) {
      out += fmt::format("{} -a {} -d {}\n", here, below->get_name(),
                         fish_quoted(below->get_description()));
    }
    if (const auto choices = choices_of(*command); !choices.empty()) {
      out += fmt::format("{} -a '{}'\n", here, choices);
    }
    if (asks_for_model(*command)) out += here + " -a '(__ollamamax_models)'\n";
    if (has_argument(*command, {"file"})) out += here + " -F\n";
    for (const CLI::Option* flag : flags_of(*command)) {
      out += here;
      for (const std::string& name : flag->get_lnames()) out += " -l " + name;
      for (const std::string& name : flag->get_snames()) out += " -s " + name;
      if (takes_value(*flag)) out += " -r -F";
      out += fmt::format(" -d {}\n", fish_quoted(flag->get_description()));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const std::string& shell, const CLI::App& program) {
  Commands commands;
  collect(program, commands);
  if (shell == "fish") return fish_script(commands);
  if (shell == "zsh") return "#compdef ollamamax\n" + walk_of_words(commands) + std::string(kZsh);
  return walk_of_words(commands) + std::string(kBash);
}

}  // namespace om::app
