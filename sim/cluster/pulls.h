// A run's registry and those who pull models from it by name through any node, and what must hold.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/manifest.h"
#include "sim/cluster/run_parts.h"
#include "sim/registry.h"

namespace om::sim {

// stop() must have returned before it is destroyed.
class Pulls {
 public:
  explicit Pulls(RunParts parts);
  ~Pulls();

  io::Task<void> trouble();  // Until the last pull has ended.
  // Once all is healed: what was told done is there, and pulls succeed through any node.
  io::Task<void> pull_again();
  io::Task<void> ask_all();  // Each node answers for what was pulled.
  io::Task<void> judge_at_rest();
  io::Task<void> stop();  // After the nodes.

 private:
  struct Model {
    int number = 0;
    model::Manifest manifest;
    bool is_fresh = false;  // Nobody pulled it while anything was broken.
    Presence presence;      // In the catalogue.
    int deletions = 0;
  };
  struct Blob {
    uint64_t size = 0;
    int deletions = 0;    // Of models that name it.
    bool once = false;    // No byte of it may be drawn twice.
    bool shared = false;  // Nodes have had it from the beginning.
  };
  enum class End { done, refused, left, broken };

  // pulls.cpp
  Model& add_model(uint64_t weights_bytes, int weights);
  io::Task<void> operate(Model& model);
  io::Task<void> pull(Model& model, bool may_leave);
  io::Task<void> pull_through(Model& model, size_t node, io::Duration stays);
  io::Task<End> read_end(http::ClientResponse& response, bool may_leave, std::string& what);
  io::Task<void> remove(Model& model);
  void note_end(Model& model, size_t node, End end, const std::string& what);
  io::Task<void> suffer();
  void begin(RegistryFault fault);
  void cut_off(Word word);
  void heal();
  io::Task<void> sleep(io::Duration duration);

  // pulls_judge.cpp
  bool is_catalogued(const Model& model) const;
  void judge_catalogue();
  io::Task<void> pull_healed(Model& model);
  std::map<std::string, Blob> blobs() const;  // By digest.
  void judge_bytes();
  // The most that the node with this address may have drawn of a blob.
  uint64_t most(const std::string& address, const Blob& blob, int requests) const;

  RunParts parts_;
  const PullScenario& scenario_;
  SimRandom random_;
  SimFilesystem disk_;
  Machine machine_;
  SimRegistry registry_;
  RegistryFaults at_best_;  // What it is like when it is well.
  http::Client client_;
  std::vector<std::unique_ptr<Model>> models_;
  bool healed_ = false;
};

}  // namespace om::sim
