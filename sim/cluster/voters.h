// Voters of a simulated cluster: who has a majority is worked out from who runs and who reaches
// whom; the facts themselves are one SharedMetadata.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "app/voter.h"
#include "sim/facts_history.h"
#include "sim/facts_load.h"
#include "sim/metadata.h"
#include "sim/planted_bug.h"

namespace om::sim {

// On the io thread; outlives the voters it makes.
class SimVoters final : public app::VoterMaker {
 public:
  SimVoters(World& world, SharedMetadata& facts, FactsHistory& history)
      : world_(world), facts_(facts), history_(history) {}

  bool load = false;                  // See facts_load.h.
  PlantedBug bug = PlantedBug::none;  // Of the engine, as the nodes see it.

  std::unique_ptr<app::Voter> make(app::VoterParts parts) override;
  // In memory: what a node by itself knows is no part of the simulation.
  io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own(io::World& world,
                                                                 io::Path file) override;
  // What a node asks of the others is recorded where it asks.
  std::unique_ptr<metadata::Metadata> open_remote(io::World& world, http::Client& client,
                                                  cluster::RemoteMetadata::Voters voters) override;
  io::Task<Result<void>> remove(io::World& world, const security::IdentityStore& identity,
                                std::vector<io::Endpoint> endpoints, std::string name,
                                io::Call call) override;

  // Machines died or froze, or ways between them were cut or healed.
  void look_again();
  void machine_died(const std::string& name);
  void set_frozen(const std::string& name, bool frozen);
  void set_outage(bool on);  // As while a new leader is elected: nobody has a majority.
  bool has_majority() const;
  size_t voting() const;  // Members that run.
  // Whether the others are a majority without it, if what it wrote is lost.
  bool can_lose(const std::string& name) const;

 private:
  friend class SimVoter;
  FactsLoadOptions load_options(bool insists) const;
  bool reach(const std::string& one, const std::string& other) const;
  bool has_quorum(const std::string& name) const;

  World& world_;
  SharedMetadata& facts_;
  FactsHistory& history_;
  std::set<std::string> members_, frozen_;
  std::map<std::string, class SimVoter*> running_;  // By node.
  bool outage_ = false;
  int lives_ = 0;
};

}  // namespace om::sim
