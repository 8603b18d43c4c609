// Keeps this node's share of the wanted copies of every model in the catalogue.
//
// Every few seconds, and when the catalogue changes: (1) models on this disk that the cluster does
// not know are published; (2) models that were removed or replaced in the catalogue are removed or
// replaced here; (3) the plan (core.h) is made from the View, and this node's part of it done
// (workers.h). Without a majority nothing is changed, and the models here are still served.
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
  io::Duration surplus_grace = std::chrono::minutes(10);  // How long a surplus copy stays.
  // How long a model that is new to this node counts as present without a copy: its maker's next
  // report will tell of one, and fetching it now would be done twice.
  io::Duration unseen_grace = std::chrono::seconds(5);
  // How long removals are remembered at least, and longer while a node is away, which may still
  // have the model: as long as a certificate lets a node come back.
  io::Duration tombstone_age = std::chrono::hours(30 * 24);
  size_t running_max = 2;
  // This node has just joined the cluster. If the cluster means another model by the name of one of
  // its own, its own is kept under a new name. `settled` is called when all were looked at.
  bool newcomer = false;
  std::function<void()> settled;
  bool from_registry = true;  // A model that no node has any more comes from its name's registry.
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

  // Removes this node's copy. forbidden: it is the last one that answers, and `force` is not set.
  // overloaded: another node is removing its copy just now.
  io::Task<Result<void>> remove_copy(model::Name name, bool force, io::Call call);

  // Fetches the model's files now, for a request that waits for them. Shared with other fetches of
  // the same files. Errors as DownloadTable::fetch().
  using Files = std::vector<std::pair<Digest, uint64_t>>;  // Digests and sizes.
  io::Task<Result<void>> bring(model::Name name, Digest manifest, Files files, io::Call call);
  // Copies on their way to this node.
  std::vector<cluster::CopyProgress> progress() const;

  // By the present View, and models and policies as of the last look. measure_health() does the
  // same on a worker, for callers that ask often.
  std::vector<ModelHealth> health() const { return plan_replicas(look()).health; }
  io::Task<std::vector<ModelHealth>> measure_health() const;
  std::shared_ptr<const CatalogueState> state() const { return state_; }
  // A newcomer's own models that have other names from now on: by the old ones, all as Name::str().
  // All of them once ReplicaOptions::settled was called.
  const std::map<std::string, std::string>& renamed() const { return renamed_; }

 private:
  io::Task<void> run();
  using OpenWatch = std::unique_ptr<metadata::Watch> (Catalogue::*)();
  io::Task<void> watch(OpenWatch open);
  io::Task<Result<void>> reconcile();
  io::Task<Result<void>> keep_own_models();
  Result<model::Name> free_name(const store::StoredManifest& own) const;
  io::Task<void> follow_catalogue(const ReplicaPlan& plan);
  io::Task<void> follow_one(store::StoredManifest stored, const ReplicaPlan& plan);
  // Makes the name mean `model` here, if the catalogue still says so and this disk still has what
  // it had `before` (nullopt: nothing). Else the next look decides anew.
  io::Task<void> adopt(CatalogueModel model, std::optional<store::StoredManifest> before);
  io::Task<void> publish(store::StoredManifest stored);
  io::Task<void> renew_card(CatalogueModel model);
  // True: in the present catalogue the name means `digest` (nullopt: nothing).
  bool still_means(const model::Name& name, std::optional<Digest> digest) const;
  io::Task<void> give_work(const ReplicaPlan& plan);
  // On a worker, since it goes over all models, nodes and blobs.
  io::Task<ReplicaPlan> make_plan(const ReplicaInput& input) const;
  io::Task<void> tell_popularity(const ReplicaInput& input, const ReplicaPlan& plan);
  // One model on its way: its blobs and how much of each has come.
  struct Fetching {
    uint64_t total = 0;
    int users = 0;
    std::map<Digest, uint64_t> done;
  };
  // One copy on its way, and how to cancel it.
  struct Copying {
    model::Name name;
    Digest manifest;
    io::CancelSource over;
  };
  void end_stale_copies();  // Those whose names mean something else by now.
  // A job of the plan. If the model has gone meanwhile, the job does not count as failed.
  ReplicaWorkers::Work copy_work(const CatalogueModel& model, bool urgent, uint64_t bytes);
  io::Task<Result<void>> make_copy(CatalogueModel model, io::CancelToken cancel);
  // not_found: it was removed or replaced meanwhile, and nothing of it is kept.
  io::Task<Result<void>> fetch_model(CatalogueModel model, io::Call call);
  // From other nodes, else from `registry`, if there is one.
  io::Task<Result<void>> fetch_files(std::shared_ptr<Registry> registry, std::string key,
                                     Files files, io::Call call);
  // Runs `fetch`; meanwhile progress() lists the model.
  io::Task<Result<void>> tell(std::string key, uint64_t total, io::Task<Result<void>> fetch);
  io::Task<Result<void>> fetch_into_store(CatalogueModel model, io::Call call);
  // The model's files that are not here in whole.
  io::Task<Files> find_missing(const CatalogueModel& model);
  io::Task<Result<void>> fetch_layers(model::Name name, Files missing, io::Call call);
  // Removes what an abandoned copy fetched, except blobs that a model of the catalogue needs.
  io::Task<void> remove_needless(const Files& fetched);
  io::Task<Result<void>> note_progress(std::string key, Progress progress);
  io::Task<Result<void>> remove_as_seen(store::StoredManifest stored);
  // Returns how many other copies are left. Errors as remove_copy()'s.
  io::Task<Result<int>> remove_if_spared(store::StoredManifest stored, CatalogueModel model,
                                         io::Call call);
  io::Task<Result<void>> remove_surplus(std::string key, io::CancelToken cancel);
  // How many other nodes answer that they have all of it, asked one by one.
  io::Task<int> count_other_copies(const CatalogueModel& model, io::CancelToken cancel);
  io::Task<bool> node_has(cluster::NodeInfo node, std::vector<Digest> blobs,
                          io::CancelToken cancel);
  void note_new_models();  // Of state_.
  void note_draining_nodes();
  std::optional<io::Duration> tombstone_age();
  ReplicaInput look() const;
  io::Duration time_to_next_look() const;
  io::Task<bool> has_blobs(model::Manifest manifest);  // All of them, whole, on this disk.
  bool is_mine(const ReplicaPlan& plan, const std::string& key, ReplicaAction::Kind kind) const;

  ReplicaParts parts_;
  ReplicaOptions options_;
  io::World& world_;
  std::shared_ptr<const CatalogueState> state_ = std::make_shared<CatalogueState>();
  io::TimePoint apart_at_{};                  // When a node was last seen away; at first the start.
  std::vector<ModelHealth> health_;           // As of the last look.
  std::map<std::string, Fetching> fetching_;  // By key.
  std::list<Copying> copying_;
  std::map<std::string, io::TimePoint> surplus_since_;
  // When this node first saw what a name means now.
  std::map<std::string, std::pair<Digest, io::TimePoint>> first_seen_;
  std::map<std::string, std::string> renamed_;
  std::map<std::string, io::TimePoint, std::less<>> draining_since_;  // See ReplicaInput.
  Popularity popularity_;
  std::set<std::string> broken_;  // Models here that lack a blob that was found rotten.
  SaidOnce said_;                 // Failures that each look would log again.
  // By key: models whose card was checked. Once is enough: the files never change.
  std::map<std::string, Digest> cards_seen_;
  bool is_stale_ = false;  // Something has changed since the last look began.
  io::Event changed_;
  ReplicaWorkers workers_;
  io::TaskGroup tasks_;
};

}  // namespace om::transfer
