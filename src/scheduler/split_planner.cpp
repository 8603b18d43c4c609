#include "scheduler/split_planner.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/log.h"
#include "base/rendezvous.h"
#include "io/task_group.h"

namespace om::scheduler {
namespace {

constexpr size_t kPingBytes = 512 << 10;
constexpr std::chrono::seconds kPingMax{2}, kLinkAgeMax{60};
constexpr size_t kMainsMax = 8;  // Planned for.

using cluster::NodeInfo;

bool stays(const cluster::RunnerInfo& runner) {
  return runner.pinned || !runner.part_of.empty() || !runner.parts.empty();
}

// Parts are kept in main memory.
uint64_t main_memory_of(const NodeInfo& node) {
  return node.memory_total - std::min(node.graphics_total, node.memory_total);
}

// An integrated card has no other.
uint64_t main_memory_of(const NodeInfo& node, const cluster::RunnerInfo& runner) {
  const uint64_t apart = node.graphics_total > 0 ? runner.graphics_bytes : 0;
  return runner.size_bytes - std::min(apart, runner.size_bytes);
}

bool takes_requests(const NodeInfo& node, bool may_disturb) {
  return may_disturb ? node.answers() : node.state == cluster::NodeState::ready;
}

// Memory that is free with `main` as the main node, or is as soon as idle models have left.
uint64_t room_for_part(const cluster::View& view, const NodeInfo& node, const Target& target,
                       std::string_view main) {
  const Digest key = target.key();
  // What it is loaded as now leaves before it is loaded anew. But a main node that drains, and that
  // no request goes to, may hold its parts for long.
  const auto leaves = [&](std::string_view holder) {
    const NodeInfo* other = view.find(holder);
    const bool drains = other && other->state == cluster::NodeState::draining;
    return holder == main || !drains || !other->runner_of(key);
  };
  uint64_t taken = 0;
  for (const cluster::RunnerInfo& runner : node.runners) {
    const bool is_part = !runner.part_of.empty() && runner.model == target.name;
    if (runner.key == key && leaves(node.name)) continue;
    if (is_part && leaves(runner.part_of)) continue;
    const bool busy = runner.loading || runner.running + runner.queued > 0;
    if (busy || stays(runner)) taken += main_memory_of(node, runner);
  }
  return main_memory_of(node) - std::min(taken, main_memory_of(node));
}

// And when those that run now have ended too.
uint64_t room_for_whole(const NodeInfo& node) {
  uint64_t taken = 0;
  for (const cluster::RunnerInfo& runner : node.runners) {
    if (stays(runner)) taken += runner.size_bytes;
  }
  return node.memory_total - std::min(taken, node.memory_total);
}

bool has_files(const NodeInfo& node, const Target& target) {
  return std::ranges::all_of(target.files,
                             [&](const Target::File& file) { return node.has_blob(file.digest); });
}

bool is_main_of(const NodeInfo& node, const Digest& key) {
  return std::ranges::any_of(node.runners, [&](const cluster::RunnerInfo& runner) {
    return runner.key == key && runner.part_of.empty() && !runner.stopping;
  });
}

// Who could be the main node, in the same order at every gateway: each with one of its own would
// take the memory from the others that they wait for. Only who is it already, if one is.
std::vector<std::string> mains_of(const cluster::View& view, const Target& target,
                                  bool may_disturb) {
  const Digest key = target.key();
  const std::string text = key.hex();
  std::vector<std::string> mains;
  for (const NodeInfo& node : view.nodes()) {
    if (!takes_requests(node, may_disturb) || !has_files(node, target)) continue;
    if (is_main_of(node, key)) return {node.name};
    mains.push_back(node.name);
  }
  std::ranges::sort(mains, std::greater(),
                    [&](const std::string& name) { return rendezvous(text, name); });
  if (mains.size() > kMainsMax) mains.resize(kMainsMax);
  return mains;
}

}  // namespace

std::string SplitChoice::to_json() const {
  boost::json::array list;
  for (const engine::PartShare& part : plan.parts) {
    list.push_back(boost::json::object{{"node", part.node},
                                       {"blocks", part.blocks},
                                       {"bytes", part.bytes},
                                       {"sent_bytes", part.weights}});
  }
  const boost::json::object object{{"node", main},
                                   {"blocks", plan.main_blocks},
                                   {"bytes", plan.main_bytes},
                                   {"parts", std::move(list)},
                                   {"links_ms_per_token", plan.token_ms},
                                   {"send_ms", plan.load_ms}};
  return boost::json::serialize(object);
}

SplitPlanner::SplitPlanner(io::World& world, http::Client& client, cluster::Reports& reports,
                           std::string self, GgufPlanOptions options, ContextOf context_of)
    : world_(world),
      client_(client),
      reports_(reports),
      self_(std::move(self)),
      options_(std::move(options)),
      context_of_(std::move(context_of)) {}

std::optional<uint64_t> SplitPlanner::whole_bytes(const Target& target) const {
  if (!target.header) return std::nullopt;
  const auto bytes = scheduler::whole_bytes(options_, target, *target.header, context_of_(target));
  if (!bytes) return std::nullopt;
  return *bytes;
}

Result<SplitChoice> SplitPlanner::choose(const Target& target, bool may_disturb) {
  auto choice = choose_among(target, false);
  if (choice || !may_disturb) return choice;
  auto disturbing = choose_among(target, true);
  return disturbing ? std::move(disturbing) : std::move(choice);
}

Result<SplitChoice> SplitPlanner::choose_among(const Target& target, bool may_disturb) {
  if (!target.header) return fail(Errc::not_found, "the model's header is not known");
  TRY(const uint64_t whole,
      scheduler::whole_bytes(options_, target, *target.header, context_of_(target)));
  const cluster::View view = reports_.view();
  for (const NodeInfo& node : view.nodes()) {
    if (takes_requests(node, may_disturb) && room_for_whole(node) >= whole) {
      return fail(Errc::not_found, "node {} can hold the model alone", node.name);
    }
  }
  Error last{Errc::not_found, "no node that is ready has the model's files"};
  std::optional<SplitChoice> best;
  for (std::string& main : mains_of(view, target, may_disturb)) {
    auto made = plan(target, *target.header, main, may_disturb);
    if (!made) {
      last = std::move(made).error();
      continue;
    }
    if (best && made->parts.size() >= best->plan.parts.size()) continue;
    best = SplitChoice{std::move(main), std::move(*made)};
  }
  if (!best) return fail(std::move(last));
  return std::move(*best);
}

Result<engine::SplitPlan> SplitPlanner::plan(const Target& target, const model::GgufSummary& gguf,
                                             std::string_view main, bool may_disturb) {
  TRY(const engine::SplitNeeds needs, needs_of_split(options_, target, gguf, context_of_(target)));
  const cluster::View view = reports_.view();
  uint64_t main_free = 0;
  std::vector<engine::SplitNode> nodes;
  for (const NodeInfo& node : view.nodes()) {
    if (node.name == main) {
      main_free = room_for_part(view, node, target, main);
      continue;
    }
    if (!takes_requests(node, may_disturb)) continue;
    engine::SplitNode& added = nodes.emplace_back();
    added.name = node.name;
    added.memory_free = room_for_part(view, node, target, main);
    if (const auto link = links_.find(node.name); link != links_.end()) {
      added.round_trip_ms = link->second.round_trip_ms;
      added.bytes_per_second = link->second.bytes_per_second;
    }
  }
  return engine::plan_split(needs, main_free, std::move(nodes));
}

io::Task<Result<engine::SplitPlan>> SplitPlanner::plan_here(Target target, io::Call call) {
  co_await measure(call);
  if (target.header) co_return plan_from_here(target, *target.header);
  auto read = [&files = world_.files, path = target.weights_path] {
    return read_summary(files, path);
  };
  CO_TRY(const model::GgufSummary gguf, co_await world_.workers.run(read));
  co_return plan_from_here(target, gguf);
}

Result<engine::SplitPlan> SplitPlanner::plan_from_here(const Target& target,
                                                       const model::GgufSummary& gguf) {
  auto made = plan(target, gguf, self_, false);
  return made ? std::move(made) : plan(target, gguf, self_, true);
}

io::Task<void> SplitPlanner::measure(io::Call call) {
  io::TaskGroup tasks(world_.executor, world_.clock);
  size_t count = 0;
  const io::TimePoint now = world_.clock.now();
  call.deadline = std::min(call.deadline, now + kPingMax);
  const cluster::View view = reports_.view();
  std::erase_if(links_, [&view](const auto& item) { return !view.find(item.first); });
  for (const NodeInfo& node : view.nodes()) {
    if (node.state != cluster::NodeState::ready || count >= kLinksMeasuredMax) continue;
    const auto known = links_.find(node.name);
    if (known != links_.end() && now - known->second.measured < kLinkAgeMax) continue;
    const engine::PeerLink* link = reports_.link_of(node.name);
    if (!link) continue;
    count++;
    tasks.spawn(measure_one(*link, call));
  }
  co_await tasks.wait();
}

io::Task<void> SplitPlanner::measure_one(engine::PeerLink link, io::Call call) {
  // The first one may have to connect.
  auto time = co_await ping(link, 0, call);
  if (time) time = co_await ping(link, 0, call);
  if (!time) co_return;
  const auto loaded = co_await ping(link, kPingBytes, call);
  if (!loaded) co_return;
  const double round_trip = std::chrono::duration<double>(*time).count();
  const double whole = std::chrono::duration<double>(*loaded).count();
  Link& known = links_[link.node];
  known.round_trip_ms = 1000 * round_trip;
  known.bytes_per_second = kPingBytes / std::max(1e-6, whole - round_trip);
  known.measured = world_.clock.now();
  log_info("link measured", field("node", link.node), field("round_trip_ms", known.round_trip_ms),
           field("bytes_per_second", known.bytes_per_second));
}

io::Task<Result<io::Duration>> SplitPlanner::ping(const engine::PeerLink& link, size_t bytes,
                                                  io::Call call) {
  const io::TimePoint start = world_.clock.now();
  auto request = link.request("GET", fmt::format("/peer/v1/ping?bytes={}", bytes));
  CO_TRY(const auto response, co_await client_.send(std::move(request), std::move(call)));
  CO_TRY_VOID(co_await response->read_all(2 * kPingBytes));
  if (response->status() != 200) co_return fail(Errc::unavailable, "refused");
  co_return world_.clock.now() - start;
}

}  // namespace om::scheduler
