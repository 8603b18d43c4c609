// What those who pull in a simulated cluster do, and what their registry suffers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/network.h"
#include "sim/random.h"

namespace om::sim {

// What the registry does, or what is done to it, for a while.
enum class RegistryFault {
  wrong_bytes,
  endless,
  lies_about_size,
  cuts,    // Answers end early.
  stalls,  // Answers stop after their first bytes.
  refuses,
  slow,
  cut_off,  // From all nodes, or some: nothing arrives.
  resets,   // As cut_off, and connections break.
};
inline constexpr int kRegistryFaults = static_cast<int>(RegistryFault::resets) + 1;
std::string_view to_string(RegistryFault fault);

struct RegistryEpisode {
  RegistryFault fault = RegistryFault::cuts;
  io::Duration at{}, lasts{};
};

struct PullScenario {
  std::vector<uint64_t> sizes;  // Of the models' weights. Empty: nobody pulls.
  bool twins = false;           // The last one has the weights of the first one.
  // Nothing breaks anywhere, nobody leaves and nothing is deleted: the fewest bytes are drawn.
  bool calm = false;
  bool ranges = true, redirects = false, login = false;  // What the registry is like.
  int rounds = 0;                                        // Of each model's operator.
  io::Duration pause_max{};
  double together_chance = 0, leave_chance = 0, delete_chance = 0;
  std::vector<RegistryEpisode> episodes;

  std::string describe() const;
};

// `lasts`: the time of trouble.
PullScenario draw_pulls(const NetworkFaults& network, io::Duration lasts, SimRandom random);

}  // namespace om::sim
