// The cluster's facts for a voter: from its own etcd, or from the other voters while its own etcd
// does not answer (a full disk, a program that hangs).
#pragma once

#include <functional>
#include <memory>

#include "io/world.h"
#include "metadata/metadata.h"

namespace om::cluster {

// On the io thread. `own` outlives it. `others` asks the other voters; each answers from its own
// copy alone, so that nobody asks in a circle. `are_others_well`: another voter says that it
// reaches a majority. If none does, they are not asked: not_leader then comes as fast as from
// `own`.
class VoterMetadata final : public metadata::Metadata {
 public:
  VoterMetadata(io::World& world, metadata::Metadata& own, std::unique_ptr<Metadata> others,
                std::function<bool()> are_others_well);

  io::Task<Result<std::optional<metadata::Entry>>> get(std::string key, io::Call call) override;
  io::Task<Result<metadata::Snapshot>> list(std::string prefix, io::Call call) override;
  io::Task<Result<metadata::Commit>> commit(metadata::Transaction transaction,
                                            io::Call call) override;
  io::Task<Result<metadata::LeaseId>> grant(std::chrono::seconds time_to_live,
                                            io::Call call) override;
  io::Task<Result<void>> keep_alive(metadata::LeaseId lease, io::Call call) override;
  io::Task<Result<void>> revoke(metadata::LeaseId lease, io::Call call) override;
  // A watch from revision 0 hears nothing while `own` is gone: only `own` knows the newest
  // revision.
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override;
  bool healthy() const override { return own_.healthy() || are_others_well_(); }
  io::Task<void> stop() override { return others_->stop(); }  // Not `own`.

 private:
  friend class VoterWatch;
  // Asks whichever of the two is likelier to answer; then the other one, if the first says that
  // nothing was done.
  template <typename T, typename Ask>
  io::Task<Result<T>> ask(Ask ask, io::Call call);

  io::World& world_;
  metadata::Metadata& own_;
  std::unique_ptr<Metadata> others_;
  std::function<bool()> are_others_well_;
};

}  // namespace om::cluster
