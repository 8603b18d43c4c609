#include "sim/cluster/foreign_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace om::sim {
namespace {

using engine::BackendKind;
using std::chrono::milliseconds;

constexpr BackendKind kKinds[] = {BackendKind::openai, BackendKind::vllm, BackendKind::llama_server,
                                  BackendKind::ollama};

// A few kinds a server, so that each gets its share.
void draw_faults(ForeignPlan& plan, SimRandom& random, io::Duration trouble_lasts) {
  if (random.chance(0.15)) return;
  std::vector<ForeignTrouble> kinds;
  for (uint64_t i = 0, count = random.between(1, 4); i < count; i++) {
    kinds.push_back(static_cast<ForeignTrouble>(random.below(kForeignTroubles)));
  }
  io::Duration at = milliseconds(random.between(100, 5'000));
  while (at < trouble_lasts) {
    const io::Duration lasts = milliseconds(random.chance(0.5) ? random.between(50, 2'000)
                                                               : random.between(2'000, 15'000));
    plan.faults.push_back({kinds[random.below(kinds.size())], at, lasts});
    at += lasts + milliseconds(random.between(500, 8'000));
  }
}

ForeignPlan draw_one(SimRandom& random, int models, io::Duration trouble_lasts) {
  ForeignPlan plan;
  plan.kind = kKinds[random.below(std::size(kKinds))];
  plan.kind_is_told = random.chance(0.5);
  if (random.chance(0.3)) plan.key = "secret-" + random.letters(20);
  for (int model = 0; model < models; model++) {
    if (random.chance(0.6)) plan.models.push_back(model);
  }
  if (plan.models.empty() || random.chance(0.8)) plan.models.push_back(kForeignModel);
  const io::Duration times[] = {milliseconds(1), milliseconds(5), milliseconds(20)};
  plan.token_time = times[random.below(std::size(times))];
  // Only who counts as it goes can say several at once.
  if (plan.kind == BackendKind::vllm) plan.tokens_per_event = random.between(1, 4);
  draw_faults(plan, random, trouble_lasts);
  return plan;
}

}  // namespace

std::string_view to_string(ForeignTrouble trouble) {
  static constexpr std::string_view kNames[kForeignTroubles] = {
      "kill",    "freeze", "cut_silently", "cut_with_word", "slow",
      "garbage", "refuse", "break_off",    "fall_silent",   "be_removed"};
  return kNames[static_cast<size_t>(trouble)];
}

bool ForeignPlan::has(int model) const { return std::ranges::find(models, model) != models.end(); }

std::string ForeignPlan::describe() const {
  std::string text = fmt::format("{}{}, models {}", to_string(kind), kind_is_told ? " (told)" : "",
                                 fmt::join(models, " "));
  for (const ForeignFault& fault : faults) {
    text += fmt::format("\n    {:7.3f} s {} for {:.3f} s",
                        std::chrono::duration<double>(fault.at).count(), to_string(fault.kind),
                        std::chrono::duration<double>(fault.lasts).count());
  }
  return text;
}

bool ForeignScenario::any_has(int model) const {
  return std::ranges::any_of(servers, [model](const auto& plan) { return plan.has(model); });
}

std::string ForeignScenario::describe() const {
  std::string text = fmt::format("backends{}{}", known ? ", known" : "", shared ? ", shared" : "");
  for (const ForeignPlan& plan : servers) text += "\n  " + plan.describe();
  return text;
}

ForeignScenario draw_foreign(SimRandom random, int models, io::Duration trouble_lasts) {
  ForeignScenario foreign;
  for (int i = 0, count = random.chance(0.7) ? 2 : 1; i < count; i++) {
    foreign.servers.push_back(draw_one(random, models, trouble_lasts));
  }
  foreign.known = random.chance(0.85);
  foreign.shared = random.chance(0.5) && foreign.any_has(kForeignModel);
  return foreign;
}

}  // namespace om::sim
