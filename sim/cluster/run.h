// One run of a whole cluster in a simulated world.
//
// Safety first: the seed's faults under the seed's load. Then everything is healed, and the cluster
// must find together again, answer for every model through every node, and hold nothing any more.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/client_for_test.h"
#include "sim/cluster/copies.h"
#include "sim/cluster/foreign_servers.h"
#include "sim/cluster/node.h"
#include "sim/cluster/pulls.h"
#include "sim/cluster/scenario.h"
#include "sim/path_run_for_test.h"

namespace om::sim {

// See above. run() once.
class ClusterRun {
 public:
  explicit ClusterRun(uint64_t seed, PlantedBug bug = PlantedBug::none);
  ~ClusterRun();
  PathReport run();
  const ClusterScenario& scenario() const { return scenario_; }
  std::string now();  // For logs: the time since the start, and whose turn it is.

 private:
  // What a node went through: it must not answer for others meanwhile.
  struct Absence {
    std::string node;
    std::string_view why;
    io::TimePoint since{}, until = io::kNever;
  };
  // A fault that was done to it.
  struct Suffering {
    size_t node = 0;
    FaultKind kind = FaultKind::kill;
    io::TimePoint since{}, until = io::kNever;
  };

  // run.cpp
  io::Task<void> drive();
  io::Task<void> form();
  io::Task<void> trouble();
  io::Task<void> heal();
  io::Task<void> mend_rot();
  io::Task<void> liveness();
  io::Task<void> take_down();
  io::Task<void> watch_bounds(io::CancelToken stop);
  io::Task<void> look_after(io::CancelToken stop);
  io::Task<void> change_models(io::CancelToken stop);
  bool had_traffic() const;

  RunParts parts();
  [[noreturn]] void end_at_once(const std::string& who);

  // operator.cpp
  io::Task<Result<boost::json::object>> ask(const ClusterNode& node, std::string method,
                                            std::string target, std::string body);
  io::Task<void> ask_until_done(size_t node, std::string method, std::string target,
                                std::string body, std::string_view what);
  io::Task<void> join(size_t node);
  io::Task<void> unload_split_model();
  io::Task<void> wait_for(std::function<bool()> condition, io::Duration at_most,
                          std::string_view what);
  // Empty: all nodes see one cluster.
  io::Task<std::string> difference();
  io::Task<std::string> difference_of(ClusterNode& node);
  std::string view_difference_of(ClusterNode& node, const std::set<std::string>& keys);
  io::Task<Result<std::set<std::string>>> models_of(const ClusterNode& node);
  io::Task<void> wait_converged(std::string_view when);

  // faults.cpp
  io::Task<void> suffer(std::vector<Fault> faults);
  io::Task<bool> suffer_one(Fault fault);
  io::Task<void> go_down(Fault fault);
  io::Task<bool> replace(Fault fault);
  io::Task<void> be_slow(Fault fault);
  io::Task<void> be_cut_off(Fault fault);
  io::Task<void> swizzle(Fault fault);
  io::Task<void> be_drained(Fault fault);
  io::Task<void> leave(size_t number);
  io::Task<void> be_away(Fault fault);
  io::Task<bool> be_removed(Fault fault);
  io::Task<void> lose_runners(Fault fault);
  io::Task<void> sleep(io::Duration duration);
  void cut(const std::string& from, const std::string& to, Word word);
  void heal(const std::string& from, const std::string& to);
  void cut_both_ways(const std::string& one, const std::string& other);
  void heal_both_ways(const std::string& one, const std::string& other);
  bool is_plainly_up(size_t node);
  std::string removal_of(const std::string& node) const;

  // judge.cpp
  void judge_all();
  void judge_one(const Exchange& exchange);
  bool is_excused(const Exchange& exchange) const;
  void judge_failure(const Exchange& exchange);
  void judge_silence(const Exchange& exchange);
  void judge_absences(const Exchange& exchange);
  // Whether a fault of one of these kinds was on, or was over so short a time ago that it shows.
  bool suffered(const Exchange& exchange, std::initializer_list<FaultKind> kinds) const;
  bool gateway_is_sound(const Exchange& exchange) const;
  // What a node holds that nobody needs any more.
  static std::vector<std::string> held_by(ClusterNode& node);
  io::Task<void> come_to_rest(std::string_view when);
  std::vector<std::string> wrong_blobs(ClusterNode& node);
  io::Task<void> judge_blobs(ClusterNode& node);
  void judge_changes();
  void judge_history();
  void complain(std::string text);

  ClusterScenario scenario_;
  World sim_;
  SimRandom random_;
  SharedMetadata facts_;
  FactsHistory history_;
  SimVoters voters_;
  std::vector<std::unique_ptr<ClusterNode>> nodes_;
  http::Client operator_;
  Exchanges seen_;
  std::vector<Absence> absences_;
  std::vector<Suffering> sufferings_;
  Copies copies_;
  Presence copy_;  // The model that comes and goes.
  bool replacing_ = false;
  PathReport report_;
  std::unique_ptr<Pulls> pulls_;             // Null: nobody pulls.
  std::unique_ptr<ForeignServers> foreign_;  // Null: there are none.
};

}  // namespace om::sim
