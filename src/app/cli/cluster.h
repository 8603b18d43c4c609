// `ollamamax cluster ...`: the operator's commands.
#pragma once

#include "app/cli/command.h"

namespace om::app {

struct ClusterOptions {
  std::string token;  // "-": read from standard input.
  std::string advertise, expires_in, node, file;
  std::vector<std::string> discover;
  bool force = false;
};

CommandTask cluster_init_command(Cli& cli, ClusterOptions options);
CommandTask cluster_join_command(Cli& cli, ClusterOptions options);
CommandTask cluster_leave_command(Cli& cli, ClusterOptions options);
CommandTask cluster_status_command(Cli& cli);
CommandTask cluster_nodes_command(Cli& cli);
CommandTask cluster_token_command(Cli& cli, ClusterOptions options);
// `action`: drain, undrain, promote or remove.
CommandTask cluster_node_command(Cli& cli, std::string action, ClusterOptions options);
CommandTask cluster_backup_command(Cli& cli, ClusterOptions options);
// Why a request went to its node: the terms of each node's cost.
CommandTask explain_command(Cli& cli, std::string request_id);
CommandTask cluster_restore_command(Cli& cli, ClusterOptions options);

}  // namespace om::app
