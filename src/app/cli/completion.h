// The command `completion`: prints a shell's completion script.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace om::app {

// A script for "bash", "zsh" or "fish" that completes commands of all levels, flags and the names
// of models. Commands and flags are those of `program`.
std::string completion_script(const std::string& shell, const CLI::App& program);

}  // namespace om::app
