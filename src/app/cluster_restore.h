// Reads the facts of a backup back into a cluster.
#pragma once

#include "cluster/admin.h"
#include "metadata/metadata.h"
#include "store/store.h"

namespace om::app {

// Takes out the facts that hold in one cluster only: its members, tokens and pulls.
void erase_cluster_facts(metadata::Snapshot& snapshot);

// Takes out which names mean a model, and which were removed: the disks know that better.
void erase_catalogue(metadata::Snapshot& snapshot);

// Puts the facts of a backup, over those there are. But a model whose name means something by now,
// to the cluster or on this node's disk (`store` tells both), stays what it is: its files are here,
// and those of what it meant then may be nowhere. That a name was removed before is not put back.
// Errors as Metadata::commit(); a part may be done, and again is safe.
io::Task<Result<cluster::Restored>> restore_facts(metadata::Metadata& metadata, store::Store& store,
                                                  metadata::Snapshot backup, io::Call call);

}  // namespace om::app
