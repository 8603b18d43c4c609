// The program's one way into a node, apart from node.h so that the command line need not know the
// node's parts.
#pragma once

#include "app/settings.h"

namespace om::app {

// Runs a node until SIGTERM or SIGINT; builds it anew when it entered or left a cluster. A second
// signal ends the process at once. Errors as Node::run().
Result<void> run_node(const Settings& settings);

}  // namespace om::app
