// The command `config`: finds the configuration file and shows the settings.
#pragma once

#include <string>

#include "app/settings.h"

namespace om::app {

inline constexpr uint64_t kConfigBytesMax = 1 << 20;

struct ConfigPlace {
  std::string path;
  bool required = false;  // Named by the user: it must exist.
};
// --config, else OLLAMAMAX_CONFIG, else ~/.ollama/ollamamax.toml, else /etc/ollamamax.toml.
ConfigPlace config_place(const std::string& flag);

std::string show_config(const Config& config, bool json);

}  // namespace om::app
