// Bugs of a metadata engine, on request: whether the oracles find them tells how good those are.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "sim/metadata.h"

namespace om::sim {

enum class PlantedBug {
  none,
  lost_write,           // Acknowledged, and not done.
  half_transaction,     // Its first operation is done.
  ignored_compare,      // Done although a compare did not hold.
  done_though_refused,  // With not_leader.
  done_twice,           // After an outcome that nobody was told.
  forgotten_request,    // A change that is asked for again is made again.
  wrong_revision,       // Of a commit.
  stale_get,
  stale_list,
  torn_list,        // One half of it is older than the other.
  forgotten_lease,  // Keys stay when their lease ends.
  watch_out_of_order,
  watch_skips,
  watch_repeats,
  watch_tells_half,   // Of a revision.
  watch_hides_a_gap,  // It goes on behind what is compacted, without a word.
};

std::string_view to_string(PlantedBug bug);
std::span<const PlantedBug> planted_bugs();  // All but none.
std::optional<PlantedBug> planted_bug(std::string_view name);

// `metadata`, of a node of `facts`, with the bug: it shows in some calls. `facts` outlives it.
std::unique_ptr<metadata::Metadata> with_bug(std::unique_ptr<metadata::Metadata> metadata,
                                             PlantedBug bug, World& world, SharedMetadata& facts);

}  // namespace om::sim
