#include "sim/scenario_for_test.h"

#include <algorithm>

namespace om::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kMebibyte = 1 << 20;

// One of the times that differ in kind: nothing, a moment, long.
io::Duration draw_time(SimRandom& random, std::initializer_list<io::Duration> choices) {
  return *(choices.begin() + random.below(choices.size()));
}

// A fault is absent in most runs, and frequent where it is present.
double sometimes(SimRandom& random, double presence, double most) {
  return random.chance(presence) ? random.unit() * most : 0;
}

void draw_network(Scenario& scenario, SimRandom& random) {
  NetworkFaults& network = scenario.network;
  network.delay_min = std::chrono::microseconds(random.between(1, 1000));
  network.delay_max =
      network.delay_min +
      std::chrono::microseconds(random.chance(0.2) ? random.below(500'000) : random.below(5'000));
  const size_t slices[] = {3, 69, 1000, 65'536};
  network.slice_max = slices[random.below(std::size(slices))];
  const size_t windows[] = {512, 4096, 65'536, 262'144};
  network.window = windows[random.below(std::size(windows))];
  network.reset_chance = sometimes(random, 0.4, 0.01);
}

void draw_runners(Scenario& scenario, SimRandom& random) {
  scenario.load_time_max = draw_time(random, {milliseconds(0), milliseconds(300), seconds(20)});
  scenario.token_time_max = draw_time(random, {milliseconds(0), milliseconds(20), seconds(1)});
  scenario.load_failure_chance = sometimes(random, 0.3, 0.5);
  scenario.crash_chance = sometimes(random, 0.5, 1);
  scenario.wedge_chance = sometimes(random, 0.3, 0.5);
  scenario.garbage_chance = sometimes(random, 0.2, 0.3);
  scenario.fault_after_tokens_max = random.chance(0.3) ? 20 : 1000;
  scenario.kill_chance = sometimes(random, 0.4, 0.8);
  // Not faster than they load: a runner that never lives gives nothing to judge.
  scenario.kill_interval = std::max(draw_time(random, {milliseconds(200), seconds(2), seconds(20)}),
                                    scenario.load_time_max);
  scenario.deaf_chance = sometimes(random, 0.3, 1);
}

void draw_node(Scenario& scenario, SimRandom& random) {
  // Room for one small model, for a few, for all.
  const uint64_t memories[] = {160 * kMebibyte, 400 * kMebibyte, 16'384 * kMebibyte};
  scenario.memory_total = memories[random.below(std::size(memories))];
  scenario.num_parallel = static_cast<int>(random.below(5));
  scenario.loaded_max = static_cast<int>(random.below(3));
  scenario.default_context = random.chance(0.5) ? 4096 : 1024;
  const size_t queues[] = {1, 3, 8, 512};
  scenario.queue_max = queues[random.below(std::size(queues))];
  scenario.keep_alive = draw_time(random, {seconds(0), seconds(3), seconds(300), seconds(-1)});
}

void draw_clients(Scenario& scenario, SimRandom& random) {
  scenario.models = static_cast<int>(random.between(1, 3));
  scenario.clients = static_cast<int>(random.between(3, 10));
  scenario.requests_each = static_cast<int>(random.between(3, 6));
  scenario.predict_max = random.chance(0.3) ? 10 : 150;
  scenario.pause_max = draw_time(random, {milliseconds(0), seconds(1), seconds(30)});
  scenario.leave_chance = sometimes(random, 0.5, 0.4);
  scenario.slow_chance = sometimes(random, 0.5, 0.4);
  scenario.pool_chance = random.unit();
  scenario.admin = random.chance(0.5);
}

void calm(Scenario& scenario) {
  scenario.network.reset_chance = 0;
  scenario.load_failure_chance = scenario.crash_chance = scenario.wedge_chance = 0;
  scenario.garbage_chance = scenario.kill_chance = 0;
}

}  // namespace

bool Scenario::is_calm() const {
  return network.reset_chance + load_failure_chance + crash_chance + wedge_chance + garbage_chance +
             kill_chance ==
         0;
}

Scenario draw_scenario(uint64_t seed) {
  SimRandom random(seed * 0x9E3779B97F4A7C15 + 1);
  Scenario scenario;
  draw_network(scenario, random);
  draw_runners(scenario, random);
  draw_node(scenario, random);
  draw_clients(scenario, random);
  if (random.chance(0.15)) calm(scenario);
  return scenario;
}

FakeLlamaBehaviour draw_behaviour(const Scenario& scenario, SimRandom& random, bool faults) {
  const auto up_to = [&random](io::Duration most) {
    return io::Duration(random.between(0, static_cast<uint64_t>(most.count())));
  };
  FakeLlamaBehaviour behaviour;
  behaviour.load_time = up_to(scenario.load_time_max);
  behaviour.token_time = up_to(scenario.token_time_max);
  if (!faults) return behaviour;
  const auto after = [&](double chance) {
    return random.chance(chance) ? random.between(1, scenario.fault_after_tokens_max) : 0;
  };
  behaviour.fails_to_load = random.chance(scenario.load_failure_chance);
  behaviour.crash_after_tokens = after(scenario.crash_chance);
  behaviour.wedge_after_tokens = after(scenario.wedge_chance);
  behaviour.garbage_after_tokens = after(scenario.garbage_chance);
  return behaviour;
}

}  // namespace om::sim
