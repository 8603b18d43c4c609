// A cluster of nodes that have the files of models x, y and z, seen by one gateway.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/check.h"
#include "scheduler/node_chooser.h"
#include "sim/random.h"

namespace om::scheduler {

inline constexpr io::TimePoint kNow{std::chrono::hours(1)};
inline constexpr uint64_t kGigabyte = 1'000'000'000;

inline Digest weights(std::string_view model) { return Digest::of(model); }

class NodePlacement : public ::testing::Test {
 protected:
  cluster::NodeInfo& node(const std::string& name) {
    cluster::NodeInfo& info = nodes_[name];
    if (!info.name.empty()) return info;
    info.name = name;
    info.peer = io::Endpoint::tcp(name, 1);
    info.memory_total = 10 * kGigabyte;
    info.disk_free = 100 * kGigabyte;
    std::vector<Digest> blobs{weights("x"), weights("y"), weights("z")};
    std::ranges::sort(blobs);
    info.blobs = std::make_shared<const std::vector<Digest>>(std::move(blobs));
    return info;
  }

  cluster::RunnerInfo& runner(const std::string& name, const std::string& model, int running = 0,
                              int queued = 0) {
    cluster::NodeInfo& info = node(name);
    cluster::RunnerInfo& one = info.runners.emplace_back();
    one.model = model;
    one.key = weights(model);
    one.context_length = 8192;
    one.slots = 4;
    one.running = running;
    one.queued = queued;
    one.size_bytes = 4 * kGigabyte;
    one.prompt_rate = 1000;
    one.output_rate = 50;
    info.memory_used += one.size_bytes;
    return one;
  }

  static PlacementRequest request(const std::string& model, const std::string& text = "") {
    PlacementRequest wanted;
    wanted.weights = weights(model);
    wanted.files = {{weights(model), 4 * kGigabyte}};
    wanted.load_bytes = 4 * kGigabyte;
    wanted.context = 4096;
    OutlineBuilder outline(wanted.weights);
    outline.add(text);
    outline.mark_conversation();
    wanted.outline = outline.finish();
    wanted.prompt_tokens = 1000;
    return wanted;
  }

  // Of x, on any node but this one.
  static PlacementRequest request_without(const std::string& name) {
    PlacementRequest wanted = request("x");
    wanted.excluded = {name};
    return wanted;
  }

  void report(io::TimePoint now = kNow) {
    for (auto& [name, info] : nodes_) {
      info.reported = now;
      chooser_.observe(info);
    }
  }

  PlacementDecision decide(const PlacementRequest& wanted, io::TimePoint now = kNow) {
    return chooser_.decide(wanted, now);
  }
  SentRequest send(const PlacementRequest& wanted, io::TimePoint now = kNow) {
    const PlacementDecision decision = decide(wanted, now);
    CHECK(decision.best() != nullptr);
    return chooser_.begin(wanted, *decision.best(), now);
  }
  static const CostTerms& cost_of(const PlacementDecision& decision, std::string_view name) {
    const auto found = std::ranges::find(decision.ranked, name, &NodeCandidate::name);
    CHECK(found != decision.ranked.end());
    return found->cost;
  }
  Exclusion exclusion_of(const PlacementDecision& decision, std::string_view name) {
    const auto found = std::ranges::find(decision.ranked, name, &NodeCandidate::name);
    return found == decision.ranked.end() ? Exclusion::none : found->excluded;
  }

  std::map<std::string, cluster::NodeInfo> nodes_;
  sim::SimRandom random_{5};
  NodeChooser chooser_{random_};
};

}  // namespace om::scheduler
