#include "sim/placement_lab/node_model.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace om::lab {
namespace {

constexpr double kNever = HUGE_VAL;
constexpr double kSlack = 1e-9;
// While a prompt is evaluated, the streams of the same runner go on at this part of their speed.
constexpr double kDecodeBesidePrefill = 0.35;
constexpr double kLoadStart = 0.7, kDrainAfter = 2;
constexpr double kRateWeight = 0.3;
constexpr int kContext = 16384;

void observe(double& rate, double value) {
  rate = rate == 0 ? value : rate + kRateWeight * (value - rate);
}

}  // namespace

size_t SequenceCache::take(const std::vector<uint64_t>& chunks) {
  size_t most = 0;
  auto best = sequences_.end();
  for (auto one = sequences_.begin(); one != sequences_.end(); ++one) {
    const auto differs = std::ranges::mismatch(*one, chunks).in1;
    const auto common = static_cast<size_t>(differs - one->begin());
    if (common > most) most = common, best = one;
  }
  if (best == sequences_.end()) return 0;
  sequences_.splice(sequences_.begin(), sequences_, best);
  if (2 * most >= best->size()) {
    held_ -= best->size();
    sequences_.erase(best);
  }
  return most;
}

void SequenceCache::put(std::vector<uint64_t> chunks) {
  held_ += chunks.size();
  sequences_.push_front(std::move(chunks));
  while (held_ > chunks_max_) {
    held_ -= sequences_.back().size();
    sequences_.pop_back();
  }
}

NodeModel::NodeModel(std::string name, const Trace& trace, double speed)
    : name_(std::move(name)), trace_(trace), speed_(speed) {
  std::vector<Digest> blobs;
  for (const LabModel& model : trace.models) blobs.push_back(model.weights);
  std::ranges::sort(blobs);
  blobs_ = std::make_shared<const std::vector<Digest>>(std::move(blobs));
  // Where there is one model, the comparison is not about loading it.
  if (trace.models.size() > 1) return;
  runners_.push_back(Runner{.loading = false, .cache = SequenceCache(trace.nodes.cache_chunks)});
}

NodeModel::Runner* NodeModel::runner_of(size_t model) {
  const auto found = std::ranges::find(runners_, model, &Runner::model);
  return found == runners_.end() ? nullptr : &*found;
}

uint64_t NodeModel::used() const {
  uint64_t bytes = 0;
  for (const Runner& runner : runners_) bytes += trace_.models[runner.model].bytes;
  return bytes;
}

void NodeModel::submit(size_t request, double expected, double now) {
  CHECK(now >= at_ - kSlack);
  changed_ = true;
  expected_[request] = expected;
  Runner* runner = runner_of(trace_.requests[request].model);
  if (runner != nullptr && !runner->draining) {
    runner->queue.push_back(request);
  } else {
    to_load_.emplace_back(request, now);
  }
  start_loads(now);
  admit(now);
  plan_next();
}

void NodeModel::admit(double now) {
  for (Runner& runner : runners_) {
    if (runner.loading) continue;
    while (!runner.queue.empty() &&
           runner.active.size() < static_cast<size_t>(trace_.nodes.slots)) {
      const LabRequest& request = trace_.requests[runner.queue.front()];
      Active active;
      active.request = runner.queue.front();
      active.decode_left = request.output_tokens;
      runner.queue.pop_front();
      runner.active.push_back(active);
      runner.uses++;
    }
    for (Active& active : runner.active) {
      if (active.answered) continue;
      if (!active.started) {
        const LabRequest& request = trace_.requests[active.request];
        active.started = true;
        expected_.erase(active.request);
        active.started_at = now;
        active.cached = static_cast<int>(runner.cache.take(request.chunks)) * kChunkTokens;
        active.prefill_left = std::max(1, request.prompt_tokens - active.cached);
      }
      break;  // Prompts are evaluated one after the other.
    }
  }
}

bool NodeModel::make_room(uint64_t bytes, double now) {
  while (used() + bytes > trace_.nodes.memory) {
    Runner* victim = nullptr;
    for (Runner& runner : runners_) {
      if (runner.loading || !runner.active.empty() || !runner.queue.empty()) continue;
      if (victim == nullptr || runner.used_at < victim->used_at) victim = &runner;
    }
    if (victim == nullptr) return false;
    runners_.remove_if([&](const Runner& runner) { return &runner == victim; });
  }
  (void)now;
  return true;
}

void NodeModel::start_loads(double now) {
  const auto is_loading = [](const Runner& runner) { return runner.loading; };
  while (!to_load_.empty() && std::ranges::none_of(runners_, is_loading)) {
    const auto [request, since] = to_load_.front();
    const size_t model = trace_.requests[request].model;
    Runner* existing = runner_of(model);
    if (existing == nullptr) {
      const uint64_t bytes = trace_.models[model].bytes;
      if (!make_room(bytes, now)) {
        // All are busy: the least recently used one takes no more requests.
        const bool drains = std::ranges::any_of(runners_, &Runner::draining);
        if (!drains && now >= since + kDrainAfter - kSlack) {
          const auto oldest = std::ranges::min_element(runners_, {}, &Runner::used_at);
          oldest->draining = true;
          for (size_t queued : oldest->queue) to_load_.emplace_back(queued, now);
          oldest->queue.clear();
        }
        return;
      }
      runners_.push_back(Runner{.model = model, .cache = SequenceCache(trace_.nodes.cache_chunks)});
      existing = &runners_.back();
      existing->used_at = now;
      existing->ready_at =
          now + kLoadStart + static_cast<double>(bytes) / (trace_.nodes.load_rate * speed_);
      loads_++;
    } else if (existing->draining) {
      return;
    }
    std::erase_if(to_load_, [&](const auto& waiting) {
      if (trace_.requests[waiting.first].model != model) return false;
      existing->queue.push_back(waiting.first);
      return true;
    });
  }
}

size_t NodeModel::busy_runners() const {
  return static_cast<size_t>(
      std::ranges::count_if(runners_, [](const Runner& runner) { return !runner.active.empty(); }));
}

const NodeModel::Active* NodeModel::prefilling(const Runner& runner) {
  for (const Active& active : runner.active) {
    if (active.started && !active.answered) return &active;
  }
  return nullptr;
}

double NodeModel::decode_rate(const Runner& runner) const {
  const auto streams =
      static_cast<double>(std::ranges::count(runner.active, true, &Active::answered));
  if (streams == 0) return 0;
  double rate = trace_.nodes.output_rate * speed_ / static_cast<double>(busy_runners()) /
                (1 + trace_.nodes.batch_slowdown * (streams - 1));
  if (prefilling(runner) != nullptr) rate *= kDecodeBesidePrefill;
  return rate;
}

double NodeModel::step_end() const {
  double end = kNever;
  const auto sharing = static_cast<double>(std::max<size_t>(1, busy_runners()));
  for (const Runner& runner : runners_) {
    if (runner.loading) end = std::min(end, runner.ready_at);
    const double prefill_rate = trace_.nodes.prompt_rate * speed_ / sharing;
    const double rate = decode_rate(runner);
    if (const Active* active = prefilling(runner)) {
      end = std::min(end, at_ + active->prefill_left / prefill_rate);
    }
    for (const Active& active : runner.active) {
      if (active.answered) end = std::min(end, at_ + active.decode_left / rate);
    }
  }
  if (!to_load_.empty() && to_load_.front().second + kDrainAfter > at_ + kSlack) {
    end = std::min(end, to_load_.front().second + kDrainAfter);
  }
  return end;
}

void NodeModel::plan_next() {
  const double end = step_end();
  next_ = end == kNever ? std::nullopt : std::optional(end);
}

void NodeModel::progress(double seconds) {
  const size_t sharing = busy_runners();
  if (sharing > 0) busy_ += seconds;
  for (Runner& runner : runners_) {
    const double rate = decode_rate(runner);
    const Active* head = prefilling(runner);
    for (Active& active : runner.active) {
      if (active.answered) {
        active.decode_left -= rate * seconds;
      } else if (&active == head) {
        active.prefill_left -=
            trace_.nodes.prompt_rate * speed_ / static_cast<double>(sharing) * seconds;
      }
    }
  }
}

void NodeModel::settle(double now, std::vector<NodeEvent>& events) {
  for (Runner& runner : runners_) {
    if (runner.loading && runner.ready_at <= now + kSlack) runner.loading = false;
    for (Active& active : runner.active) {
      const LabRequest& request = trace_.requests[active.request];
      if (active.started && !active.answered && active.prefill_left <= 1e-6) {
        active.answered = true;
        active.answered_at = now;
        const double tokens = std::max(1, request.prompt_tokens - active.cached);
        if (tokens >= kChunkTokens) {
          observe(runner.prompt_rate, tokens / std::max(1e-6, now - active.started_at));
        }
        events.push_back({NodeEvent::What::first_token, active.request, 0});
      } else if (active.answered && active.decode_left <= 1e-6) {
        // As LocalScheduler tells it: as if it had run alone.
        const auto beside = static_cast<double>(runner.active.size() - 1);
        observe(runner.output_rate, request.output_tokens /
                                        std::max(1e-6, now - active.answered_at) *
                                        (1 + trace_.nodes.batch_slowdown * beside));
        std::vector<uint64_t> all = request.chunks;
        all.insert(all.end(), request.after.begin(), request.after.end());
        runner.cache.put(std::move(all));
        events.push_back({NodeEvent::What::finished, active.request, active.cached});
      }
    }
    const size_t ended = std::erase_if(runner.active, [](const Active& active) {
      return active.answered && active.decode_left <= 1e-6;
    });
    if (ended > 0) runner.used_at = now;
  }
  runners_.remove_if([](const Runner& runner) {
    return runner.draining && runner.active.empty() && runner.queue.empty();
  });
}

std::vector<NodeEvent> NodeModel::advance(double now) {
  std::vector<NodeEvent> events;
  while (at_ < now - kSlack || step_end() <= now + kSlack) {
    const double end = std::min(now, std::max(at_, step_end()));
    progress(end - at_);
    const bool stands = end - at_ <= 0;
    at_ = end;
    const size_t before = events.size();
    settle(at_, events);
    start_loads(at_);
    admit(at_);
    if (events.size() > before) changed_ = true;
    if (stands && events.size() == before && step_end() <= at_) break;
  }
  plan_next();
  return events;
}

cluster::NodeInfo NodeModel::report() const {
  cluster::NodeInfo info;
  info.name = name_;
  info.peer = io::Endpoint::tcp(name_, 1);
  info.blobs = blobs_;
  info.disk_free = 1'000'000'000'000;
  info.memory_total = trace_.nodes.memory;
  info.memory_used = used();
  info.load_rate = trace_.nodes.load_rate * speed_;
  for (const Runner& runner : runners_) {
    cluster::RunnerInfo& out = info.runners.emplace_back();
    const LabModel& model = trace_.models[runner.model];
    out.model = model.name;
    out.key = model.weights;
    out.context_length = kContext;
    out.slots = trace_.nodes.slots;
    out.running = static_cast<int>(runner.active.size());
    out.queued = static_cast<int>(runner.queue.size());
    out.size_bytes = model.bytes;
    out.loading = runner.loading;
    out.prompt_rate = runner.prompt_rate;
    out.output_rate = runner.output_rate;
    // As LocalScheduler values it: what a load takes x how often it was used, fading.
    const double idle = std::max(0.0, at_ - runner.used_at);
    out.value = static_cast<double>(model.bytes) / trace_.nodes.load_rate *
                std::min(1.0, runner.uses / 10.0) * std::exp2(-idle / 60);
    double pending = 0;
    for (const Active& active : runner.active) {
      if (active.answered) continue;
      pending += active.started ? active.prefill_left : expected_.at(active.request);
    }
    for (size_t request : runner.queue) pending += expected_.at(request);
    out.pending_prompt_tokens = static_cast<int64_t>(pending);
  }
  return info;
}

}  // namespace om::lab
