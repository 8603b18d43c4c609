// The facts of a node without a cluster: a file in its state directory. `cluster init` moves them
// into the cluster, the last `cluster leave` brings them back.
#pragma once

#include <memory>
#include <string>

#include "app/voter.h"

namespace om::app {

io::Path own_facts_file(const std::string& state_directory);

// If another node of the same state directory has the file open, this node's facts are kept in
// memory and lost when it ends. Other errors as metadata::open_sqlite()'s.
io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own_facts(io::World& world,
                                                                     VoterMaker& voters,
                                                                     std::string state_directory);
// Everything in the file. The file must exist.
io::Task<Result<metadata::Snapshot>> read_own_facts(io::World& world, VoterMaker& voters,
                                                    std::string state_directory, io::Call call);
// Removes the facts of a cluster that is over from an engine that lives on, where a later cluster
// would meet them. Facts that cannot be removed are logged.
io::Task<void> forget_facts(metadata::Metadata& metadata, io::Call call);
Result<void> remove_own_facts(io::Filesystem& files, const std::string& state_directory);

}  // namespace om::app
