// A node's own use of the cluster's facts, as busy and as entangled as no node is: what the calls
// of all nodes together must be (facts_history.h) shows best where they meet.
#pragma once

#include <memory>

#include "io/world.h"
#include "metadata/metadata.h"

namespace om::sim {

struct FactsLoadOptions {
  const bool* wanted = nullptr;  // It pauses while this is false; outlives the load.
  io::Duration pause_max = std::chrono::seconds(3);  // Between calls; of the first one as well.
  int keys = 4;                                      // That all nodes read and write.
  bool insists = true;  // Asks for some changes again, by their request ids.
};

// What is used as before, and by the load beside it until stop(). `world` is the node's.
std::unique_ptr<metadata::Metadata> with_load(std::unique_ptr<metadata::Metadata> metadata,
                                              io::World& world, FactsLoadOptions options);

}  // namespace om::sim
