// Everything a room may know of the outside, in one place.
#pragma once

#include "io/clock.h"
#include "io/filesystem.h"
#include "io/network.h"
#include "io/processes.h"
#include "io/random.h"
#include "io/workers.h"

namespace om::io {

// References that outlive the node. app builds the real one (io/real.h), sim a simulated one.
struct World {
  Executor executor;
  Clock& clock;
  Random& random;
  Network& network;
  Filesystem& files;
  Processes& processes;
  Workers& workers;
};

}  // namespace om::io
