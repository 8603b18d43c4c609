// Which models nodes keep in memory: a fact for each model and node, so that it outlives both.
#pragma once

#include <functional>
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

// A key that no node writes gives nothing.
std::optional<Pin> read_pin(std::string_view key);

// On the io thread; stop() must have returned before it is destroyed. Changes fail as
// Metadata::commit() does.
class PinTable {
 public:
  // Whether there is a node of that name, besides this one.
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

  // overloaded: kPinsMax. not_found: there is no such node. What is pinned already stays so.
  io::Task<Result<void>> add(std::vector<Pin> pins, io::Call call);
  // Whichever of them there are.
  io::Task<Result<void>> remove(std::vector<Pin> pins, io::Call call);
  io::Task<Result<void>> remove_model(std::string model, io::Call call);  // On all nodes.
  // What this node had before it entered a cluster, under whatever name, becomes its pins there.
  // May be called again after a failure, as the next one.
  io::Task<Result<void>> adopt(const metadata::Snapshot& own, io::Call call);
  // Of a node by itself, which was called otherwise before: all pins are its own.
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
