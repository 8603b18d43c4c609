#include "sim/cluster/pull_scenario.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace om::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kPresence = 0.35, kCalm = 0.2;
constexpr uint64_t kMebibyte = 1 << 20;
constexpr double kSecondsMax = 15;      // Of one blob, as the links are.
constexpr uint64_t kReadsMax = 10'000;  // Of one blob: each takes its real time.

// Less than a block, some blocks (store/store.h), or several chunks (transfer/chunk_list.h).
uint64_t draw_size(const NetworkFaults& network, SimRandom& random) {
  const double delay = std::chrono::duration<double>(network.delay_max).count();
  const double carried = static_cast<double>(network.window) / delay * kSecondsMax;
  const uint64_t most = std::min(static_cast<uint64_t>(carried), network.slice_max / 2 * kReadsMax);
  const uint64_t wanted[] = {random.between(1'000, kMebibyte),
                             random.between(kMebibyte, 5 * kMebibyte),
                             random.between(17 * kMebibyte, 40 * kMebibyte)};
  return std::min(most, wanted[random.below(3)]);
}

void draw_episodes(PullScenario& pulls, io::Duration trouble, SimRandom& random) {
  std::vector<RegistryFault> kinds;
  for (uint64_t i = 0, count = random.between(1, 3); i < count; i++) {
    kinds.push_back(static_cast<RegistryFault>(random.below(kRegistryFaults)));
  }
  io::Duration at = milliseconds(random.between(0, 5'000));
  while (at < trouble) {
    const io::Duration lasts = milliseconds(random.chance(0.7) ? random.between(100, 5'000)
                                                               : random.between(5'000, 40'000));
    pulls.episodes.push_back({kinds[random.below(kinds.size())], at, lasts});
    at += lasts + milliseconds(random.between(100, 8'000));
  }
}

}  // namespace

std::string_view to_string(RegistryFault fault) {
  static constexpr std::string_view kNames[kRegistryFaults] = {
      "wrong bytes", "endless", "lies about size", "cuts",  "stalls",
      "refuses",     "slow",    "cut off",         "resets"};
  return kNames[static_cast<size_t>(fault)];
}

std::string PullScenario::describe() const {
  std::string text =
      fmt::format("pulls of {} bytes, {} rounds{}{}{}", fmt::join(sizes, ", "), rounds,
                  twins ? ", twins" : "", calm ? ", calm" : "", ranges ? "" : ", no ranges");
  for (const RegistryEpisode& episode : episodes) {
    text += fmt::format("\n  {:7.3f} s registry {} for {:.3f} s",
                        std::chrono::duration<double>(episode.at).count(), to_string(episode.fault),
                        std::chrono::duration<double>(episode.lasts).count());
  }
  return text;
}

PullScenario draw_pulls(const NetworkFaults& network, io::Duration lasts, SimRandom random) {
  PullScenario pulls;
  if (!random.chance(kPresence)) return pulls;
  for (uint64_t i = 0, count = random.between(1, 3); i < count; i++) {
    pulls.sizes.push_back(draw_size(network, random));
  }
  pulls.twins = pulls.sizes.size() > 1 && random.chance(0.3);
  pulls.calm = random.chance(kCalm);
  pulls.redirects = random.chance(0.3);
  pulls.login = random.chance(0.3);
  pulls.rounds = static_cast<int>(random.between(1, 4));
  pulls.pause_max = milliseconds(random.chance(0.3) ? 200 : 8'000);
  pulls.together_chance = random.chance(0.5) ? 0.5 : 0.1;
  if (pulls.calm) return pulls;
  pulls.ranges = random.chance(0.85);
  pulls.leave_chance = random.chance(0.5) ? 0.3 : 0;
  pulls.delete_chance = random.chance(0.5) ? 0.3 : 0;
  if (random.chance(0.7)) draw_episodes(pulls, lasts, random);
  return pulls;
}

}  // namespace om::sim
