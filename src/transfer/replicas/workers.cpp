#include "transfer/replicas/workers.h"

#include <algorithm>

#include "base/log.h"
#include "transfer/replicas/metrics.h"

namespace om::transfer {
namespace {

constexpr std::chrono::seconds kBackoffMin{2}, kBackoffMax{300};

}  // namespace

ReplicaWorkers::ReplicaWorkers(io::World& world, size_t running_max, std::function<void()> on_end)
    : world_(world),
      running_max_(running_max),
      on_end_(std::move(on_end)),
      tasks_(world.executor, world.clock) {}

void ReplicaWorkers::set_work(std::vector<Work> work) {
  std::erase_if(failures_, [&](const auto& failure) {
    return std::ranges::find(work, failure.first, &Work::key) == work.end() &&
           !running_.contains(failure.first);
  });
  std::ranges::sort(work, {}, [](const Work& item) {
    return std::tuple(!item.urgent, item.bytes, std::string_view(item.key));
  });
  const io::TimePoint now = world_.clock.now();
  for (Work& item : work) {
    // What is urgent does not wait until long copies have ended that are not.
    if (running_.size() >= running_max_ + (item.urgent ? 1 : 0)) return;
    if (running_.contains(item.key)) continue;
    const auto failure = failures_.find(item.key);
    if (failure != failures_.end() && failure->second.not_before > now) continue;
    running_.insert(item.key);
    tasks_.spawn(run(std::move(item)));
  }
}

io::Task<void> ReplicaWorkers::run(Work work) {
  const auto done = co_await work.job(tasks_.token());
  running_.erase(work.key);
  if (done) {
    failures_.erase(work.key);
  } else if (!tasks_.token().cancelled()) {
    replica_failures.add();
    Failure& failure = failures_[work.key];
    const auto wait = std::min<std::chrono::seconds>(
        kBackoffMin * (1 << std::min(failure.count, 10)), kBackoffMax);
    failure.count++;
    failure.not_before = world_.clock.now() + wait;
    log_warn("replica work failed", field("work", work.key), field("error", done.error()),
             field("again_in_s", wait.count()));
  }
  on_end_();
}

}  // namespace om::transfer
