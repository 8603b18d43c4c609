// Where the files of the cluster's models lie: the last copy of none may be lost.
#pragma once

#include <map>
#include <set>
#include <string>

#include "model/manifest.h"
#include "sim/cluster/run_parts.h"

namespace om::sim {

// The disks that have all files of the model, none of them rotten; `serving`: of nodes that serve
// in the cluster only.
int copies_of(const RunParts& parts, const model::Manifest& manifest, bool serving);

// On the driver's thread of the world, like all parts of a run.
class Copies {
 public:
  explicit Copies(RunParts parts) : parts_(std::move(parts)) {}

  // To be called again and again: whatever once had a whole copy has one on some disk, also on that
  // of a machine that is down, as long as the catalogue knows it.
  void look();
  // A disk is lost or a file has rotted, perhaps of the only copy of a model.
  void forgive() { whole_.clear(); }
  // Until each model has as many copies as the policy wants; one that has none is another matter.
  io::Task<void> wait();

 private:
  struct Known {
    metadata::Revision modified = 0;
    model::Manifest manifest;
  };
  void read_catalogue();

  RunParts parts_;
  std::map<std::string, Known> known_;  // By key.
  std::set<std::string> whole_;         // Keys of what had a copy at the last look.
};

}  // namespace om::sim
