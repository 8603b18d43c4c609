// Chooses for a model that foreign servers have: our own nodes, or one of those servers.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <variant>

#include "engine/external/backends.h"
#include "generation/generation.h"
#include "scheduler/answer_lengths.h"
#include "scheduler/node_placement.h"
#include "scheduler/recent_decisions.h"

namespace om::generation {

// One per node, on the io thread. References outlive it.
class HolderChoice {
 public:
  using Request = std::variant<model::ChatRequest, model::GenerateRequest>;

  HolderChoice(Generation& own, engine::Backends& backends) : own_(own), backends_(backends) {}

  // Neither is set: nobody is left to ask.
  struct Chosen {
    bool own = false;
    std::shared_ptr<engine::Backend> backend;
  };
  // `own`: our nodes have the model and were not asked yet. `asked`: names of servers that were.
  Chosen choose(const Request& request, bool own, const std::set<std::string>& asked);

  // The choice for a new request, without any effect.
  Decision dry_run(const Request& request, bool own) const;
  // The last decision on a request; empty: none.
  std::string explain(const std::string& request_id) const { return decisions_.find(request_id); }

  void note_answer(const std::string& model, int64_t output_tokens) {
    answer_lengths_.observe(model, output_tokens);
  }

 private:
  struct Made {
    Decision decision;
    bool own_first = false;
  };
  Made decide(const Request& request, bool own, const std::set<std::string>& asked) const;

  Generation& own_;
  engine::Backends& backends_;
  scheduler::RecentDecisions decisions_;
  scheduler::AnswerLengths<std::string> answer_lengths_;
};

const model::RequestCommon& common_of(const HolderChoice::Request& request);
size_t prompt_bytes_of(const HolderChoice::Request& request);

}  // namespace om::generation
