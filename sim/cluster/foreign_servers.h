// Servers of other engines that answer beside a run's nodes: what they suffer, and what must hold.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/cluster/foreign.h"
#include "sim/cluster/run_parts.h"

namespace om::sim {

// has_all_ended() must be true before it is destroyed.
class ForeignServers {
 public:
  explicit ForeignServers(RunParts parts);
  ~ForeignServers();

  bool empty() const { return servers_.empty(); }
  io::Task<void> add_all();     // Once the cluster has formed.
  io::Task<void> make_known();  // If the scenario says so: nodes see how fast they are.
  io::Task<void> trouble();     // Until their last fault is over.
  io::Task<void> settle();      // As the operator wants it after all trouble.
  // Once all is healed: they are listed, end what a client left, and are forgotten when they are
  // removed.
  io::Task<void> judge_healed(SimClient& client);
  void stop();  // After the nodes.
  bool has_all_ended() const;

  // foreign_judge.cpp
  // Empty: the node knows those that the cluster has, and how they are.
  std::string difference(ClusterNode& node) const;
  std::vector<std::string> held() const;  // What they do that nobody needs any more.
  bool may_lack(const Exchange& exchange) const;
  bool may_not_count(const Exchange& exchange) const;
  bool excuses(const Exchange& exchange) const;
  // None asked one that was removed, nor for what no client wanted; counts who answered.
  void judge_all() const;

 private:
  struct Removal {
    std::string server;
    io::TimePoint since{}, until = io::kNever;
  };

  ForeignServer* find(std::string_view name) const;
  io::Task<void> add(const ForeignServer& server, size_t through);
  io::Task<void> remove(const ForeignServer& server, size_t through);
  io::Task<void> suffer(ForeignServer& server);
  io::Task<void> suffer_one(ForeignServer& server, ForeignFault fault);
  io::Task<void> cut_off(const ForeignServer& server, ForeignFault fault);
  io::Task<void> take_out(const ForeignServer& server, io::Duration lasts);
  io::Task<void> drain_all(std::string_view act);
  io::Task<void> share();
  io::Task<void> unshare();
  bool is_shared() const;
  io::Task<void> judge_leaving(SimClient& client);
  io::Task<void> retire();
  io::Task<void> sleep(io::Duration duration);
  size_t any_node() { return random_.below(parts_.nodes.size()); }

  // foreign_judge.cpp
  std::set<std::string> listed() const;  // By the facts.
  io::Task<void> judge_lists(const ClusterNode& node) const;
  void judge_removals(const Exchange& exchange) const;

  RunParts parts_;
  SimRandom random_;
  std::vector<std::unique_ptr<ForeignServer>> servers_;
  std::vector<Removal> removals_;  // By the first node, which knows it at once.
};

}  // namespace om::sim
