// One machine of a simulated cluster with the real app::Node on it, through all its lives.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/node.h"
#include "sim/cluster/voters.h"
#include "sim/machine.h"
#include "sim/scenario_for_test.h"

namespace om::sim {

// What is left of a disk when its machine goes down.
enum class DiskFate { kept, synced, lost };

// On the driver's thread of the world. settle() must have told that all lives have ended before it
// is destroyed.
class ClusterNode {
 public:
  static constexpr uint16_t kApiPort = 11434, kPeerPort = 11435;
  static constexpr std::string_view kModels = "/models";  // Of its disk.

  ClusterNode(World& world, SimVoters& voters, const Scenario& scenario, int number);
  ~ClusterNode();

  // Before the first start: lays the models on its disk.
  io::Task<Result<void>> put_models(std::vector<int> numbers);

  void start();
  void stop();  // SIGTERM.
  // kill -9, with all its children; the machine is told to others by `word`.
  void kill(Word word, DiskFate fate);
  void freeze();
  void thaw();
  void jump_clock(io::Duration by);
  void set_late_max(io::Duration most);  // Of its timers.
  // The supervisor's work: a node that ended by itself is started again.
  void look_after();
  bool rot_blob(SimRandom& random);  // False: it has none.
  bool kill_runner(uint64_t draw);   // False: none runs.

  const std::string& name() const { return name_; }
  io::Endpoint api() const { return io::Endpoint::tcp(address_, kApiPort); }
  std::string peer() const { return fmt::format("{}:{}", address_, kPeerPort); }
  app::Node* node();                                        // Null: it does not serve now.
  bool is_alone() { return node() && !node()->cluster(); }  // It serves, in no cluster.
  bool has_all_ended() const;                               // Also what was killed.
  bool is_idle();                                           // Nothing is left of all its lives.
  size_t lives() const { return lives_.size(); }
  std::string last_error() const;

  io::Duration skew{};
  bool runners_fail = false;  // As the scenario says; else they are healthy.
  double token_factor = 1;    // How much slower than drawn its runners are.
  SimFilesystem& disk() { return *disk_; }

 private:
  struct Life {
    std::unique_ptr<SimFilesystem> disk;  // Once another life has its own.
    std::unique_ptr<Machine> machine;
    app::Node* node = nullptr;
    bool ready = false, stopping = false, ended = false;
    Result<void> result;
    std::vector<std::weak_ptr<Program>> programs;
  };
  io::Task<void> live(Life& life);
  io::Task<void> run_llama(Life& life, std::shared_ptr<Program> program);
  io::Task<void> run_part(Life& life, std::shared_ptr<Program> program);
  Life* current() { return lives_.empty() ? nullptr : lives_.back().get(); }
  void prepare_disk();

  World& sim_;
  SimVoters& voters_;
  const Scenario& scenario_;
  std::string name_, address_;
  app::Settings settings_;
  bool wanted_ = false;  // It is to run.
  io::Duration late_max_{};
  std::unique_ptr<SimFilesystem> disk_;
  std::vector<std::unique_ptr<Life>> lives_;
};

}  // namespace om::sim
