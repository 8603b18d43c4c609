// `ollamamax replicas ...`: how many copies of a model the cluster keeps, and where.
#pragma once

#include <optional>

#include "app/cli/command.h"

namespace om::app {

struct ReplicasOptions {
  std::string model;  // Empty: all, or the default policy.
  std::optional<int> factor, minimum, popular_extra;
  std::vector<std::string> pin, unpin;
  bool force = false;
};

CommandTask replicas_list_command(Cli& cli);
// One line a copy; with progress if the copy is under way.
CommandTask replicas_status_command(Cli& cli, ReplicasOptions options);
// Changes the given parts of the model's policy, or of the default one; the rest stays.
CommandTask replicas_set_command(Cli& cli, ReplicasOptions options);
CommandTask replicas_reset_command(Cli& cli, ReplicasOptions options);
// Removes the copy of the node that is asked.
CommandTask replicas_remove_command(Cli& cli, ReplicasOptions options);

}  // namespace om::app
