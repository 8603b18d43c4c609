// `ollamamax backend ...`: foreign servers whose models we offer.
#pragma once

#include "app/cli/command.h"

namespace om::app {

struct BackendOptions {
  std::string url, key, kind, name;
  std::vector<std::string> models;
};

CommandTask backend_add_command(Cli& cli, BackendOptions options);
CommandTask backend_list_command(Cli& cli);
CommandTask backend_remove_command(Cli& cli, BackendOptions options);

}  // namespace om::app
