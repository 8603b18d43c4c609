// Keeps this node's share of the wanted copies of every model in the catalogue.
//
// Every few seconds, and when the catalogue changes: (1) models that are on this disk and unknown
// to the cluster are published; (2) what was removed or replaced in the catalogue is removed or
// replaced here; (3) the plan (core.h) is made from the View, and this node's part of it done
// (workers.h). Without a majority nothing is changed, and what is here is served on.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>

#include "io/event.h"
#include "transfer/cluster_fetch.h"
#include "transfer/replicas/catalogue.h"
#include "transfer/replicas/core.h"
#include "transfer/replicas/popularity.h"
#include "transfer/replicas/workers.h"

namespace om::transfer {

struct ReplicaOptions {
  io::Duration reconcile_every = std::chrono::seconds(5);
  io::Duration grace = std::chrono::seconds(60);          // See ReplicaInput.
  io::Duration surplus_grace = std::chrono::minutes(10);  // A surplus copy stays so long.
  // A model that is new to this node and has no copy is not missed for so long: its maker tells of
  // the copy with its next report, and who fetched it at once could only do so twice.
  io::Duration unseen_grace = std::chrono::seconds(5);
  // What was removed is remembered for so long at least, and on while a node of the cluster is
  // away: it may still have the model. As long as its certificate lets a node come back.
  io::Duration tombstone_age = std::chrono::hours(30 * 24);
  size_t running_max = 2;
  // This node has just joined the cluster: a model of its own by whose name the cluster means
  // another stays under another name. `settled` is called when all are looked at.
  bool newcomer = false;
  std::function<void()> settled;
  bool from_registry = true;  // What no node has any more is got from the registry in its name.
  uint64_t disk_reserve = uint64_t{1} << 30;
};

// The references outlive it.
struct ReplicaParts {
  Context& context;
  const ClusterLinks& links;
  DownloadTable& downloads;
  Catalogue& catalogue;
};

// One per node, on the io thread. start() once; stop() before it is destroyed.
class Replicas {
 public:
  Replicas(ReplicaParts parts, ReplicaOptions options);

  void start();
  io::Task<void> stop();
  void look_now() {
    is_stale_ = true;
    changed_.notify_all();
  }

  // This node's copy only. forbidden: it is the last one that answers, and `force` is not set.
  // overloaded: another node is removing its copy just now.
  io::Task<Result<void>> remove_copy(model::Name name, bool force, io::Call call);

  // Gets the model's files here now, for a request that waits for them. Shared with whoever else
  // fetches them. Errors as DownloadTable::fetch().
  using Files = std::vector<std::pair<Digest, uint64_t>>;  // Digests and sizes.
  io::Task<Result<void>> bring(model::Name name, Digest manifest, Files files, io::Call call);
  // What is on its way here.
  std::vector<cluster::CopyProgress> progress() const;

  // By the View as it is now; models and policies as of the last look. measure_health() is the same
  // for who asks often: a worker makes it.
  std::vector<ModelHealth> health() const { return plan_replicas(look()).health; }
  io::Task<std::vector<ModelHealth>> measure_health() const;
  std::shared_ptr<const CatalogueState> state() const { return state_; }

 private:
  io::Task<void> run();
  using OpenWatch = std::unique_ptr<metadata::Watch> (Catalogue::*)();
  io::Task<void> watch(OpenWatch open);
  io::Task<Result<void>> reconcile();
  io::Task<Result<void>> keep_own_models();
  Result<model::Name> free_name(const store::StoredManifest& own) const;
  io::Task<void> follow_catalogue(const ReplicaPlan& plan);
  io::Task<void> follow_one(store::StoredManifest stored, const ReplicaPlan& plan);
  // The name means this model here from now on, if it still does in the catalogue, and on this disk
  // still what it did `before` (empty: nothing). Else the next look decides anew.
  io::Task<void> adopt(CatalogueModel model, std::optional<store::StoredManifest> before);
  io::Task<void> publish(store::StoredManifest stored);
  io::Task<void> renew_card(CatalogueModel model);
  // True: in the catalogue as of now the name means this, or nothing.
  bool still_means(const model::Name& name, std::optional<Digest> digest) const;
  io::Task<void> give_work(const ReplicaPlan& plan);
  // On a worker: it goes over all models, nodes and blobs.
  io::Task<ReplicaPlan> make_plan(const ReplicaInput& input) const;
  io::Task<void> tell_popularity(const ReplicaInput& input, const ReplicaPlan& plan);
  // One model on its way: blobs and how much of each has come.
  struct Fetching {
    uint64_t total = 0;
    int users = 0;
    std::map<Digest, uint64_t> done;
  };
  // One copy on its way, and how it is called off.
  struct Copying {
    model::Name name;
    Digest manifest;
    io::CancelSource over;
  };
  void end_stale_copies();  // Whose names mean something else by now: nobody waits for their bytes.
  // The work of a plan: that what is copied has gone meanwhile is no failure of it.
  ReplicaWorkers::Work copy_work(const CatalogueModel& model, bool urgent, uint64_t bytes);
  io::Task<Result<void>> make_copy(CatalogueModel model, io::CancelToken cancel);
  // not_found: it was removed or replaced meanwhile, and nothing of it is kept.
  io::Task<Result<void>> fetch_model(CatalogueModel model, io::Call call);
  // From other nodes, else from the registry where there is one.
  io::Task<Result<void>> fetch_files(std::shared_ptr<Registry> registry, std::string key,
                                     Files files, io::Call call);
  // While it is done, progress() has the model.
  io::Task<Result<void>> tell(std::string key, uint64_t total, io::Task<Result<void>> fetch);
  io::Task<Result<void>> fetch_into_store(CatalogueModel model, io::Call call);
  // Of the model's files those that are not here, whole.
  io::Task<Files> find_missing(const CatalogueModel& model);
  io::Task<Result<void>> fetch_layers(model::Name name, Files missing, io::Call call);
  // Of what a copy fetched that is given up, what no model of the catalogue has.
  io::Task<void> remove_needless(const Files& fetched);
  io::Task<Result<void>> note_progress(std::string key, Progress progress);
  io::Task<Result<void>> remove_as_seen(store::StoredManifest stored);
  // How many other copies are left. Errors as remove_copy()'s.
  io::Task<Result<int>> remove_if_spared(store::StoredManifest stored, CatalogueModel model,
                                         io::Call call);
  io::Task<Result<void>> remove_surplus(std::string key, io::CancelToken cancel);
  // How many other nodes have all of it and answer, asked one by one.
  io::Task<int> count_other_copies(const CatalogueModel& model, io::CancelToken cancel);
  io::Task<bool> node_has(cluster::NodeInfo node, std::vector<Digest> blobs,
                          io::CancelToken cancel);
  void note_new_models();  // Of state_.
  std::optional<io::Duration> tombstone_age();
  ReplicaInput look() const;
  io::Duration time_to_next_look() const;
  io::Task<bool> has_blobs(model::Manifest manifest);  // All of them, whole, on this disk.
  bool is_mine(const ReplicaPlan& plan, const std::string& key, ReplicaAction::Kind kind) const;

  ReplicaParts parts_;
  ReplicaOptions options_;
  io::World& world_;
  std::shared_ptr<const CatalogueState> state_ = std::make_shared<CatalogueState>();
  io::TimePoint apart_at_{};                  // When a node was seen to be away, or none was yet.
  std::vector<ModelHealth> health_;           // As of the last look.
  std::map<std::string, Fetching> fetching_;  // By key.
  std::list<Copying> copying_;
  std::map<std::string, io::TimePoint> surplus_since_;
  // When this node first saw what a name means now.
  std::map<std::string, std::pair<Digest, io::TimePoint>> first_seen_;
  Popularity popularity_;
  std::set<std::string> broken_;  // Models that are here but for a blob that was found rotten.
  SaidOnce said_;                 // Of what each look tries again.
  // By key, whose card was looked at: once is enough, no later look reads the files otherwise.
  std::map<std::string, Digest> cards_seen_;
  bool is_stale_ = false;  // Something has changed since the last look began.
  io::Event changed_;
  ReplicaWorkers workers_;
  io::TaskGroup tasks_;
};

std::vector<Digest> blobs_of(const model::Manifest& manifest);

}  // namespace om::transfer
