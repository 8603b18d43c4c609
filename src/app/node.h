// One node: the one place where its parts are built, joined, and taken down in order.
#pragma once

#include <memory>

#include "app/settings.h"
#include "io/real.h"

namespace om::app {

// Serves until SIGTERM or SIGINT: then it takes no new requests, lets running ones end within the
// drain time, ends its runners and returns. A second signal ends it at once.
// already_exists: the address is in use; not_found: llama-server is missing; each with advice.
Result<void> run_node(const Settings& settings);

}  // namespace om::app
