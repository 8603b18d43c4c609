// The models of the cluster as all nodes agree on them: names, manifests, policies.
//
// /models/<name>      {"name","manifest","by"}: the manifest verbatim, and which version made the
//                     rest of the card; <name> is complete and lower case
// /removed/<name>     a Tombstone (cluster/catalogue.h) of a name that was removed
// /policies/<name>    Policy of one model
// /policies/*         Policy of those that have none of their own
// /popularity/<name>  how many more copies its users could keep busy; goes with a lease
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/said_once.h"
#include "cluster/catalogue.h"
#include "io/world.h"
#include "metadata/metadata.h"
#include "model/manifest.h"
#include "model/name.h"
#include "transfer/replicas/policy.h"

namespace om::transfer {

inline constexpr std::chrono::seconds kPopularityLease{60};

struct CatalogueModel {
  model::Name name;
  std::string bytes;  // Of the manifest.
  Digest digest;      // Of those.
  model::Manifest manifest;
  std::string by;  // The version that made its card; empty: no card, or one from before 0.3.
};

// The catalogue at one moment; keys as in the comment above, without their prefix.
struct CatalogueState {
  std::map<std::string, CatalogueModel> models;
  std::map<std::string, Digest> removed;
  std::map<std::string, Policy> policies;
  Policy default_policy;
  std::set<std::string> unreadable_policies;  // By key.
  // Revisions of the policies' last changes, by key ("*": the default's); unreadable ones included.
  std::map<std::string, metadata::Revision> policy_revisions;
  std::map<std::string, int> popularity;

  Policy policy_of(const std::string& key) const;
  // False: policy_of() gives the default only because the kept policy cannot be read.
  bool knows_policy_of(const std::string& key) const;
  // Without a name: of all models that have no policy of their own.
  KeptPolicy kept_policy_of(const std::optional<model::Name>& name) const;
};

// Reads and changes the catalogue. On the io thread. Errors as metadata's; a change whose outcome
// is unknown may be sent again. Models come from the node's table, which is kept up to date and has
// this node's own changes at once; the rest is small and is read anew.
class Catalogue {
 public:
  // Makes the text that is kept of a model whose blobs are here: its card, with the fields named
  // above and more. Without this function, or if it cannot read the model's files, only those
  // fields are kept.
  using Describe = std::function<io::Task<Result<std::string>>(model::Name, std::string bytes)>;

  // `table` has been started and outlives it.
  Catalogue(io::World& world, metadata::Metadata& metadata, cluster::Catalogue& table)
      : world_(world), metadata_(metadata), table_(table) {}
  void describe_with(Describe describe) { describe_ = std::move(describe); }

  static std::string key_of(const model::Name& name);

  // Entries that cannot be read (from a newer version) are left out and logged once. Tombstones
  // older than `tombstone_age` are dropped, one at a time; nullopt: none is.
  io::Task<Result<std::shared_ptr<const CatalogueState>>> load(
      std::optional<io::Duration> tombstone_age, io::Call call);

  // The model as the node's table has it now. not_found "model 'x' not found". corrupt: written by
  // a newer version.
  Result<CatalogueModel> find(const model::Name& name) const;
  // Reads all models, as find() gives them; unreadable ones are left out as by load().
  void read_models(CatalogueState& state);
  // Asks what the name means now, for find(): the watch may not have told it yet.
  io::Task<Result<void>> refresh(model::Name name, io::Call call) {
    return table_.refresh(std::move(name), std::move(call));
  }

  // The name means this manifest from now on. corrupt: not a manifest; invalid_argument: too large.
  io::Task<Result<void>> put(model::Name name, std::string bytes, io::Call call);
  // put(), unless the name is known, or was removed when it meant the same manifest: then false.
  io::Task<Result<bool>> publish(model::Name name, std::string bytes, io::Call call);
  // Makes the card again if an older version made it or could not make one; the model's blobs are
  // here. If this version cannot make one either, the old one stays.
  io::Task<Result<void>> renew_card(CatalogueModel model, io::CancelToken cancel);
  // not_found "model 'x' not found".
  io::Task<Result<void>> remove(model::Name name, io::Call call);

  // Without a name: the policy of all models without one of their own.
  //
  // Asks the cluster now, unlike state as of the last load().
  io::Task<Result<KeptPolicy>> read_policy(std::optional<model::Name> name, io::Call call);
  // Returns the new revision. already_exists: the policy has another revision by now, nothing was
  // changed. Without a revision, replaces whatever is there.
  io::Task<Result<metadata::Revision>> set_policy(std::optional<model::Name> name,
                                                  KeptPolicy policy, io::Call call);
  io::Task<Result<void>> clear_policy(std::optional<model::Name> name, io::Call call);
  // The same node must tell it again before kPopularityLease has passed. Of several nodes' numbers
  // the largest counts.
  io::Task<Result<void>> set_popularity(model::Name name, std::string node, int extra,
                                        io::Call call);
  std::unique_ptr<metadata::Watch> watch_models() { return metadata_.watch("/models/", 0); }
  std::unique_ptr<metadata::Watch> watch_policies() { return metadata_.watch("/policies/", 0); }

  // The right to remove one copy of a model: one node at a time, so that two nodes cannot each
  // count on the other's copy. False: another node has it. It expires by itself.
  io::Task<Result<bool>> lock_removal(std::string key, std::string node, io::Call call);
  io::Task<void> unlock_removal(std::string key, std::string node, io::Call call);

 private:
  io::Task<Result<void>> commit(metadata::Transaction transaction, io::Call call);
  // Logs once that an entry is left out, although each look meets it again.
  void skip(const std::string& key, const Error& error);
  io::Task<Result<void>> load_removed(CatalogueState& state,
                                      std::optional<io::Duration> tombstone_age, io::Call call);
  io::Task<Result<void>> load_policies(CatalogueState& state, io::Call call);
  io::Task<Result<void>> load_popularity(CatalogueState& state, io::Call call);

  io::Task<Result<std::string>> describe(model::Name name, std::string bytes);

  struct Read {
    metadata::Revision modified = 0;
    CatalogueModel model;
  };

  io::World& world_;
  metadata::Metadata& metadata_;
  cluster::Catalogue& table_;
  SaidOnce skipped_;
  std::map<std::string, Read> read_;  // Models of the table that need not be parsed again.
  Describe describe_;
};

}  // namespace om::transfer
