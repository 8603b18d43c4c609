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
  std::string by;  // Whose card it has; empty: it has none, or that of a version before 0.3.
};

// The catalogue at one moment; keys as in the comment above, without their prefix.
struct CatalogueState {
  std::map<std::string, CatalogueModel> models;
  std::map<std::string, Digest> removed;
  std::map<std::string, Policy> policies;
  Policy default_policy;
  std::set<std::string> unreadable_policies;  // By key.
  // Of their last changes, by key ("*": the default's); also of those that cannot be read.
  std::map<std::string, metadata::Revision> policy_revisions;
  std::map<std::string, int> popularity;

  Policy policy_of(const std::string& key) const;
  // False: that is the default only as the one that is kept cannot be read.
  bool knows_policy_of(const std::string& key) const;
  // Without a name: of all models that have no policy of their own.
  KeptPolicy kept_policy_of(const std::optional<model::Name>& name) const;
};

// Reads and changes it. On the io thread. Errors as metadata's; a change whose outcome is unknown
// may be sent again. Models are read from the node's table of them, which is up to date without
// asking anybody and knows this node's own changes at once; the rest is small and read anew.
class Catalogue {
 public:
  // Makes the text that is kept of a model whose blobs are here: its card, which holds the fields
  // named above and more. Without it, or where it fails as the model's files are in a format that
  // it cannot read, only those are kept.
  using Describe = std::function<io::Task<Result<std::string>>(model::Name, std::string bytes)>;

  // `table` has been started and outlives it.
  Catalogue(io::World& world, metadata::Metadata& metadata, cluster::Catalogue& table)
      : world_(world), metadata_(metadata), table_(table) {}
  void describe_with(Describe describe) { describe_ = std::move(describe); }

  static std::string key_of(const model::Name& name);

  // What cannot be read of it (written by a newer version) is left out and logged once. Tombstones
  // that are older than this are dropped, one at a time; without an age none is.
  io::Task<Result<std::shared_ptr<const CatalogueState>>> load(
      std::optional<io::Duration> tombstone_age, io::Call call);

  // As the node's table has it now. not_found "model 'x' not found"; corrupt: written by a newer
  // version.
  Result<CatalogueModel> find(const model::Name& name) const;
  // All of them, as find() answers; what cannot be read is left out as by load().
  void read_models(CatalogueState& state);
  // So that find() knows what the name means by now, which the watch may not have told yet.
  io::Task<Result<void>> refresh(model::Name name, io::Call call) {
    return table_.refresh(std::move(name), std::move(call));
  }

  // The name means this manifest from now on. corrupt: not a manifest; invalid_argument: too large.
  io::Task<Result<void>> put(model::Name name, std::string bytes, io::Call call);
  // put(), unless the name is known or was removed meaning the same manifest. False: it was.
  io::Task<Result<bool>> publish(model::Name name, std::string bytes, io::Call call);
  // Has the card made again, where an older version than this made it or could not make one; the
  // model's blobs are here. It stays where this version cannot make one either.
  io::Task<Result<void>> renew_card(CatalogueModel model, io::CancelToken cancel);
  // not_found "model 'x' not found".
  io::Task<Result<void>> remove(model::Name name, io::Call call);

  // Without a name: of all models that have no policy of their own.
  //
  // What is read is what the cluster means now, not as of the last load().
  io::Task<Result<KeptPolicy>> read_policy(std::optional<model::Name> name, io::Call call);
  // Answers the new revision. already_exists: the policy is not of this revision any more, nothing
  // was changed. Without a revision whatever is there is replaced.
  io::Task<Result<metadata::Revision>> set_policy(std::optional<model::Name> name,
                                                  KeptPolicy policy, io::Call call);
  io::Task<Result<void>> clear_policy(std::optional<model::Name> name, io::Call call);
  // Told again by the same node before kPopularityLease has passed; the largest of all nodes'
  // counts.
  io::Task<Result<void>> set_popularity(model::Name name, std::string node, int extra,
                                        io::Call call);
  std::unique_ptr<metadata::Watch> watch_models() { return metadata_.watch("/models/", 0); }
  std::unique_ptr<metadata::Watch> watch_policies() { return metadata_.watch("/policies/", 0); }

  // The right to remove one copy of a model: one node at a time, so that two cannot each count on
  // the other's. False: another node has it. It ends by itself.
  io::Task<Result<bool>> lock_removal(std::string key, std::string node, io::Call call);
  io::Task<void> unlock_removal(std::string key, std::string node, io::Call call);

 private:
  io::Task<Result<void>> commit(metadata::Transaction transaction, io::Call call);
  // Tells of an entry that is left out, once: each look meets it again.
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
