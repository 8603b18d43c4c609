// Servers of other engines that answer beside a simulated cluster, and what they suffer: drawn from
// the seed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/external/backend_spec.h"
#include "io/clock.h"
#include "sim/random.h"

namespace om::sim {

// Of the model that no node has.
inline constexpr int kForeignModel = 50;

enum class ForeignTrouble {
  kill,          // kill -9, and a later start.
  freeze,        // SIGSTOP.
  cut_silently,  // From some nodes or all.
  cut_with_word,
  slow,
  garbage,      // Pages instead of answers, and nonsense in the midst of one.
  refuse,       // Errors of every kind, also in the midst of an answer.
  break_off,    // Answers end before their end.
  fall_silent,  // In the midst of an answer; all else is answered.
  be_removed,   // By the operator, who adds it again later.
};
inline constexpr int kForeignTroubles = static_cast<int>(ForeignTrouble::be_removed) + 1;
std::string_view to_string(ForeignTrouble trouble);

struct ForeignFault {
  ForeignTrouble kind = ForeignTrouble::kill;
  io::Duration at{}, lasts{};
};

struct ForeignPlan {
  engine::BackendKind kind = engine::BackendKind::openai;
  bool kind_is_told = false;  // By the operator; else nodes find out.
  std::string key;            // Empty: it wants none.
  std::vector<int> models;
  io::Duration token_time{};
  size_t tokens_per_event = 1;
  std::vector<ForeignFault> faults;  // One after the other.

  bool has(int model) const;
  std::string describe() const;
};

struct ForeignScenario {
  std::vector<ForeignPlan> servers;
  bool known = false;   // Nodes have seen how fast they are, before anything breaks.
  bool shared = false;  // Their own model is copied into the cluster meanwhile, and deleted there.

  bool any_has(int model) const;
  std::string describe() const;
};

// `models`: of the cluster.
ForeignScenario draw_foreign(SimRandom random, int models, io::Duration trouble_lasts);

}  // namespace om::sim
