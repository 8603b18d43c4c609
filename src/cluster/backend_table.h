// Which foreign servers answer for us: a fact that all nodes agree on.
//
// Keys are not facts: they lie in files of mode 0600 on the nodes' disks, in no backup and no list.
// A node that lacks a key asks another node for it, inside the TLS between nodes.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "cluster/fact_table.h"
#include "engine/external/backends.h"

namespace om::cluster {

inline constexpr std::string_view kBackendsPrefix = "/backends/";
inline constexpr size_t kBackendsMax = 256;

// Removes the keys of all backends but these from a node's state.
Result<void> remove_other_keys(io::Filesystem& files, const io::Path& directory,
                               const std::set<std::string, std::less<>>& kept);

// On the io thread; stop() must have returned before it is destroyed.
class BackendTable {
 public:
  static constexpr size_t kKeyBytesMax = 4096;
  static constexpr std::chrono::seconds kKeyRetry{5};

  // A backend's key, from another node. not_found: none has it.
  using FetchKey = std::function<io::Task<Result<std::string>>(std::string name, io::Call call)>;

  // `directory`: of this node's state. `copy`: as FactTable's file. `fetch_key` is null, and `self`
  // means nothing, for a node by itself.
  BackendTable(io::World& world, engine::Backends& backends, io::Path directory,
               metadata::Metadata& metadata, io::Path copy, FetchKey fetch_key, std::string self);
  ~BackendTable();

  void start() { facts_.start(); }
  // Until the metadata were read once. Errors as the call says.
  io::Task<Result<void>> wait_synced(io::Call call) { return facts_.wait_synced(std::move(call)); }
  // Replaces a backend of that name. invalid_argument: the key cannot be sent, or the URL leads to
  // another machine on each node of a cluster. overloaded: kBackendsMax.
  io::Task<Result<void>> add(engine::BackendSpec spec, std::string key, io::Call call);
  io::Task<Result<void>> remove(std::string name, io::Call call);  // not_found.
  // Before start(), as long as adopt() has not succeeded: the cluster may have another key for a
  // backend of the same name, which would take the place of this node's own.
  Result<void> set_keys_aside();
  Result<void> forget_keys_aside();  // Once adopt() will not be called again.
  // Gives the cluster the backends that this node had before it entered: under another name where
  // the cluster means another one by it, and those on its own machine for itself alone. May be
  // called again after a failure.
  io::Task<Result<void>> adopt(metadata::Snapshot own, io::Call call);
  // For other nodes of the cluster, which ask for it. not_found.
  Result<std::string> key_of(const std::string& name);
  io::Task<void> stop();

 private:
  io::Path key_path(const std::string& name) const;
  Result<std::string> read_key(const std::string& name) const;
  bool is_for_others(const engine::BackendSpec& spec) const;
  Result<void> check_reach(engine::BackendSpec& spec) const;
  std::string own_key(const engine::BackendSpec& spec) const;
  std::optional<std::string> free_name(const engine::BackendSpec& own) const;
  Result<void> write_secret(const io::Path& path, std::string_view text);
  void take(const std::string& name, const std::string* value);
  void apply(engine::BackendSpec spec);
  bool wants_key(const engine::BackendSpec& spec) const;  // The key of `spec` is still wanted.
  io::Task<void> obtain_key(engine::BackendSpec spec);

  io::World& world_;
  engine::Backends& backends_;
  io::Path directory_;
  metadata::Metadata& metadata_;
  FetchKey fetch_key_;
  const std::string self_;
  std::map<std::string, engine::BackendSpec> specs_;
  FactTable facts_;
  io::TaskGroup tasks_;
};

}  // namespace om::cluster
