// config and completion: what needs no server.
#pragma once

#include <string>

#include "app/settings.h"

namespace CLI {
class App;
}

namespace om::app {

inline constexpr uint64_t kConfigBytesMax = 1 << 20;

struct ConfigPlace {
  std::string path;
  bool required = false;  // Named by the user: it must exist.
};
// --config, else OLLAMAMAX_CONFIG, else ~/.ollama/ollamamax.toml, else /etc/ollamamax.toml.
ConfigPlace config_place(const std::string& flag);

std::string show_config(const Config& config, bool json);

// A script for "bash", "zsh" or "fish" that completes commands, flags and the names of models.
std::string completion_script(const std::string& shell, const CLI::App& program);

}  // namespace om::app
