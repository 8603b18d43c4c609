// Which models are pinned in the memory of which nodes: one fact a pin, which outlives restarts.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/fact_table.h"

namespace om::cluster {

inline constexpr std::string_view kPinsPrefix = "/pins/";
inline constexpr size_t kPinsMax = 1000;

struct Pin {
  std::string node;
  std::string model;  // model::Name::str().
  bool operator==(const Pin&) const = default;
};

// nullopt: not the key of a pin.
std::optional<Pin> read_pin(std::string_view key);

// On the io thread; stop() must have returned before it is destroyed. Changes fail as
// Metadata::commit() does.
class PinTable {
 public:
  // Whether another node has that name.
  using HasNode = std::function<bool(const std::string& name)>;

  // `self`: this node. `copy`: as FactTable's file.
  PinTable(io::World& world, metadata::Metadata& metadata, std::string self, io::Path copy,
           HasNode has_node = {});

  void start() { facts_.start(); }
  io::Task<Result<void>> wait_synced(io::Call call) { return facts_.wait_synced(std::move(call)); }
  void on_change(std::function<void()> callback);

  std::vector<Pin> list() const;         // By node and model.
  std::vector<std::string> own() const;  // Models that this node is to keep.
  const std::string& self() const { return self_; }

  // Pins that exist already stay. overloaded: kPinsMax. not_found: there is no such node.
  io::Task<Result<void>> add(std::vector<Pin> pins, io::Call call);
  // Pins that do not exist are no error.
  io::Task<Result<void>> remove(std::vector<Pin> pins, io::Call call);
  io::Task<Result<void>> remove_model(std::string model, io::Call call);  // On all nodes.
  // Turns the pins that this node had before it entered a cluster, under whatever name, into its
  // pins there. `renamed`: models that have other names since (model::Name::str() both). This and
  // take_over() may be called again after a failure.
  using Renamed = std::map<std::string, std::string>;
  io::Task<Result<void>> adopt(const metadata::Snapshot& own, const Renamed& renamed,
                               io::Call call);
  // For a node without a cluster that had another name before: all pins become its own.
  io::Task<Result<void>> take_over(io::Call call);
  io::Task<void> stop() { return facts_.stop(); }

 private:
  io::Task<Result<void>> change(std::vector<Pin> pins, bool pinned, io::Call call);

  metadata::Metadata& metadata_;
  const std::string self_;
  HasNode has_node_;
  FactTable facts_;
};

}  // namespace om::cluster
