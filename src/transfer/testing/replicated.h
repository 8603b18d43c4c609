// Simulated nodes that keep copies of their models.
#pragma once

#include "cluster/cluster_store.h"
#include "transfer/replicas/replicas.h"
#include "transfer/testing/cluster.h"

namespace om::transfer::testing {

// A cluster whose nodes keep copies.
class Replicated : public ClusterWorld {
 protected:
  struct Keeper {
    std::unique_ptr<cluster::Catalogue> table;
    std::unique_ptr<Catalogue> catalogue;
    std::unique_ptr<Replicas> replicas;
  };

  ~Replicated() override {
    for (size_t i = 0; i < keepers_.size(); i++) stop_keeper(i);
  }
  void make_cluster(size_t count) {
    make_nodes(count);
    keepers_.resize(count);
    for (size_t i = 0; i < count; i++) start_keeper(i);
  }
  // newcomer: it has just joined, with models of its own.
  void start_keeper(size_t i, bool newcomer = false) {
    Keeper& keeper = keepers_[i];
    ClusterNode& at = node(i);
    keeper.table = std::make_unique<cluster::Catalogue>(world_, at.metadata, *at.store,
                                                        at.folder() + "/models.json");
    keeper.table->start();
    keeper.catalogue = std::make_unique<Catalogue>(world_, at.metadata, *keeper.table);
    ReplicaOptions options;
    options.surplus_grace = std::chrono::minutes(5);
    options.from_registry = false;  // The simulated network speaks no TLS.
    options.newcomer = newcomer;
    options.settled = [this] { settled_++; };
    keeper.replicas = std::make_unique<Replicas>(
        ReplicaParts{*at.context, at.links, *at.downloads, *keeper.catalogue}, options);
    keeper.replicas->start();
  }
  void stop_keeper(size_t i) {
    if (keepers_[i].replicas) {
      sim_.run(keepers_[i].replicas->stop());
      sim_.run(keepers_[i].table->stop());
    }
    keepers_[i] = {};
  }
  void kill(size_t i) {
    stop_keeper(i);
    sim_.run(node(i).kill());
  }
  void revive(size_t i) {
    sim_.run(node(i).start());
    node(i).state = cluster::NodeState::ready;
    start_keeper(i);
  }
  Replicas& replicas(size_t i) { return *keepers_[i].replicas; }
  Catalogue& catalogue(size_t i) { return *keepers_[i].catalogue; }

  static model::Name name(std::string_view text) { return model::Name::parse(text).value(); }
  // A model made on one node, unknown to the cluster.
  std::string put_model(size_t i, std::string_view text, const std::string& layer) {
    return ClusterWorld::put_model(i, name(text), layer);
  }
  // For all nodes, as the API does it.
  Result<void> remove(size_t i, std::string_view text) {
    cluster::ClusterStore store(world_, *node(i).store, *keepers_[i].table);
    return wait(store.remove(name(text)));
  }
  void pass(io::Duration time) { sim_.run(sleep(time)); }
  std::string holders(std::string_view text) {
    std::string found;
    for (const auto& each : nodes_) {
      if (!each->alive()) continue;
      const auto stored = each->store->find(name(text));
      if (!stored) continue;
      bool whole = true;
      for (const Digest& blob : stored->manifest.digests()) {
        whole = whole && each->store->blob_size(blob).has_value();
      }
      found += whole ? each->name : each->name + "?";
    }
    return found;
  }
  size_t index_of(char holder) const { return static_cast<size_t>(holder - 'a'); }

  std::vector<Keeper> keepers_;
  int settled_ = 0;  // Newcomers that have looked at their models.

 private:
  io::Task<void> sleep(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }
};

}  // namespace om::transfer::testing
