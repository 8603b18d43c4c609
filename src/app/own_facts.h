// The facts of a node by itself: a file in its state directory, which `cluster init` moves into the
// cluster and the last `cluster leave` brings back.
#pragma once

#include <memory>
#include <string>

#include "app/voter.h"

namespace om::app {

io::Path own_facts_file(const std::string& state_directory);

// Where another node of the same state directory has the file, this one's are in memory, and gone
// when it ends. Other errors as metadata::open_sqlite()'s.
io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own_facts(io::World& world,
                                                                     VoterMaker& voters,
                                                                     std::string state_directory);
// All of what the file holds, which is there.
io::Task<Result<metadata::Snapshot>> read_own_facts(io::World& world, VoterMaker& voters,
                                                    std::string state_directory, io::Call call);
// Those of a cluster that is over, in an engine that is not: they would be in a later one's way.
// What cannot be forgotten is told in the log.
io::Task<void> forget_facts(metadata::Metadata& metadata, io::Call call);
Result<void> remove_own_facts(io::Filesystem& files, const std::string& state_directory);

}  // namespace om::app
