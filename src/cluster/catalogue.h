// Which models the cluster has: name to manifest and card, a fact that all nodes agree on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/fact_table.h"
#include "cluster/model_card.h"

namespace om::cluster {

inline constexpr std::string_view kModelsPrefix = "/models/";
// What a removed name meant, so that a node that was away does not bring it back.
inline constexpr std::string_view kRemovedPrefix = "/removed/";

// The value of such a key: {"digest","at"}, the manifest's and Unix seconds.
struct Tombstone {
  Digest digest;
  int64_t at = 0;
};
std::string write_tombstone(const Tombstone& tombstone);
Result<Tombstone> read_tombstone(std::string_view json);  // corrupt.

// On the io thread; stop() must have returned before it is destroyed. Reads answer from memory;
// changes need a majority: not_leader, unavailable, deadline_exceeded as Metadata says.
class Catalogue {
 public:
  Catalogue(io::World& world, metadata::Metadata& metadata, const store::Store& store,
            io::Path file);
  ~Catalogue();

  void start() { facts_.start(); }
  FactTable& facts() { return facts_; }

  // Names match without case; null: unknown.
  const Card* find(const model::Name& name) const;
  std::vector<const Card*> list() const;

  io::Task<Result<void>> put(const store::Model& model, std::string_view manifest, io::Call call);
  // `value`: from write_card(), here or on another node.
  io::Task<Result<void>> put_text(const model::Name& name, std::string value, io::Call call);
  // put_text(), unless the name is known, or was removed since `removal` was read: then false.
  io::Task<Result<bool>> publish_text(const model::Name& name, std::string value,
                                      std::optional<metadata::Entry> removal, io::Call call);
  // put_text(), if the name's fact is still the one of `seen`. False: it is not.
  io::Task<Result<bool>> replace_text(const model::Name& name, std::string value,
                                      metadata::Revision seen, io::Call call);
  // Copies what `from` means to the cluster now. not_found. unavailable: others replace it faster.
  io::Task<Result<void>> copy(const model::Name& from, const model::Name& to, io::Call call);
  // False: the name was unknown. unavailable: it was replaced meanwhile.
  io::Task<Result<bool>> remove(const model::Name& name, io::Call call);

  // Asks what the name means now: the watch may not have told it yet. Removals are left to the
  // watch.
  io::Task<Result<void>> refresh(model::Name name, io::Call call);

  // Called after a change. `card` is the new one; null: the name was removed, or means something
  // that this version cannot read.
  using Callback =
      std::function<void(const std::string& key, const Card* before, const Card* card)>;
  void on_change(Callback callback) { callback_ = std::move(callback); }

  io::Task<void> stop() { co_await facts_.stop(); }

 private:
  void take(const std::string& key, const std::string* value);
  // False: `from` was replaced meanwhile.
  io::Task<Result<bool>> copy_once(const model::Name& from, const model::Name& to, io::Call call);
  // False: one of `compares` does not hold.
  io::Task<Result<bool>> write(const model::Name& name, std::string value,
                               std::vector<metadata::Compare> compares, io::Call call);

  io::World& world_;
  metadata::Metadata& metadata_;
  const store::Store& store_;
  std::map<std::string, Card> cards_;
  Callback callback_;
  FactTable facts_;
};

// The manifest in the value of a model's key; nullopt: the value has no form we know.
std::optional<std::string> manifest_in(std::string_view value);

// The key of a name: the complete name in small letters.
std::string catalogue_key(const model::Name& name);

}  // namespace om::cluster
