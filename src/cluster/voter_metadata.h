// The cluster's facts for a voter: its own copy of them, and the other voters' as long as its own
// etcd is gone: its disk is full, say, or its program hangs.
#pragma once

#include <functional>
#include <memory>

#include "io/world.h"
#include "metadata/metadata.h"

namespace om::cluster {

// On the io thread. `own` outlives it. `others` asks the other voters, each of which answers from
// its own copy alone: nobody asks in a circle. `are_others_well`: one of them says that it reaches
// a majority; without it they are not asked, so that not_leader comes as fast as from `own`.
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
  // One from 0 hears of nothing while `own` is gone: only that knows what is now.
  std::unique_ptr<metadata::Watch> watch(std::string prefix, metadata::Revision from) override;
  bool healthy() const override { return own_.healthy() || are_others_well_(); }
  io::Task<void> stop() override { return others_->stop(); }  // Not `own`.

 private:
  friend class VoterWatch;
  // Does one thing at the one of both that is the likelier to answer, and at the other one where
  // the first says that nothing was done.
  template <typename T, typename Ask>
  io::Task<Result<T>> ask(Ask ask, io::Call call);

  io::World& world_;
  metadata::Metadata& own_;
  std::unique_ptr<Metadata> others_;
  std::function<bool()> are_others_well_;
};

}  // namespace om::cluster
