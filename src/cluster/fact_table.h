// The facts of one prefix of the metadata, kept up to date in memory and on this node's disk, so
// that they can be read at once, also while no majority can be reached and after a restart.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "io/task_group.h"
#include "io/world.h"
#include "metadata/metadata.h"

namespace om::cluster {

struct Fact {
  std::string value;
  metadata::Revision modified = 0;
};

// On the io thread; stop() must have returned before it is destroyed.
class FactTable {
 public:
  // `file`: where the last state is kept; empty: nowhere, as the metadata are on this disk anyway.
  FactTable(io::World& world, metadata::Metadata& metadata, std::string prefix, io::Path file);
  ~FactTable();

  // Reads the file, then follows the metadata in the background for good.
  void start();
  // Waits until the metadata were read once. Errors as the call says.
  io::Task<Result<void>> wait_synced(io::Call call);

  // Without the prefix. Valid until the next turn of the io thread.
  const std::map<std::string, Fact>& facts() const { return facts_; }
  const Fact* find(const std::string& key) const;
  bool synced() const { return synced_; }
  // Everything up to this revision is known here. It falls when a backup is restored.
  metadata::Revision revision() const { return revision_; }
  // Whether the last reading succeeded and changes are being watched.
  bool following() const { return following_; }

  // Called after changes: `value` is null when the key went.
  using Callback = std::function<void(const std::string& key, const std::string* value)>;
  void on_change(Callback callback) { callbacks_.push_back(std::move(callback)); }

  // Takes over a commit of our own at once, before the watch tells it.
  void apply(const std::string& key, const std::string* value, metadata::Revision revision);

  io::Task<void> stop();  // The last state is in the file when it returns.

 private:
  void load_file();
  void save_file();
  io::Task<void> write_file();
  io::Task<void> follow();
  io::Task<Result<void>> sync();
  void believe(metadata::Revision snapshot);
  io::Task<Result<void>> watch();

  io::World& world_;
  metadata::Metadata& metadata_;
  std::string prefix_;
  io::Path file_;
  std::map<std::string, Fact> facts_;
  std::map<std::string, metadata::Revision> removed_;  // Since the last sync.
  metadata::Revision revision_ = 0;
  bool synced_ = false, following_ = false;
  bool changed_ = false, writing_ = false;  // The file is to be written; it is being written.
  std::vector<Callback> callbacks_;
  io::Event synced_event_;
  io::TaskGroup tasks_;
};

}  // namespace om::cluster
