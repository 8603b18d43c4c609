#include "app/memory_watch.h"

#include <malloc.h>

#include "app/metrics.h"
#include "base/log.h"
#include "io/pseudo_file.h"

namespace om::app {
namespace {

// How full a group, or the machine, is.
double fill(const MemorySample& sample) {
  return sample.limit_bytes == 0
             ? 0
             : static_cast<double>(sample.used_bytes) / static_cast<double>(sample.limit_bytes);
}

uint64_t left_of(const MemorySample& sample) {
  return sample.limit_bytes - std::min(sample.limit_bytes, sample.used_bytes);
}

// The limit of one control group and what counts against it; false if it has no limit.
bool read_group(io::Filesystem& files, const std::string& folder, std::string_view limit_name,
                std::string_view usage_name, MemorySample& sample) {
  const auto limit = parse_cgroup_limit(io::read_pseudo_file(files, io::join(folder, limit_name)));
  if (!limit || !*limit) return false;
  const auto usage = parse_cgroup_usage(io::read_pseudo_file(files, io::join(folder, usage_name)));
  if (!usage) return false;
  const auto cache =
      parse_file_cache_bytes(io::read_pseudo_file(files, io::join(folder, "memory.stat")));
  sample.limit_bytes = **limit;
  sample.used_bytes = *usage - std::min(*usage, cache.value_or(0));
  return true;
}

// Of all that hold for us, the limit that is nearest: our group's, one around it, the machine's.
// Answers where the pressure on it is told.
std::string read_nearest_limit(io::Filesystem& files, MemorySample& nearest) {
  std::string pressure_file = "/proc/pressure/memory";
  const auto machine = parse_machine_memory(io::read_pseudo_file(files, "/proc/meminfo"));
  if (machine) {
    nearest.limit_bytes = machine->total_bytes;
    nearest.used_bytes =
        machine->total_bytes - std::min(machine->total_bytes, machine->available_bytes);
    nearest.left_bytes = left_of(nearest);
  }
  const CgroupPaths groups = parse_cgroup_paths(io::read_pseudo_file(files, "/proc/self/cgroup"));
  const auto look_at = [&](const std::string& folder, std::string_view limit_name,
                           std::string_view usage_name) {
    MemorySample sample;
    if (!read_group(files, folder, limit_name, usage_name, sample)) return false;
    // A larger group that is fuller may leave more than a small one.
    const uint64_t left =
        nearest.limit_bytes == 0 ? left_of(sample) : std::min(nearest.left_bytes, left_of(sample));
    const bool nearer = fill(sample) >= fill(nearest);
    if (nearer) nearest = sample;
    nearest.left_bytes = left;
    return nearer;
  };
  // In a container the root is our own group.
  for (const std::string_view group : groups_around(groups.unified.value_or(""))) {
    const std::string folder = "/sys/fs/cgroup" + std::string(group);
    if (look_at(folder, "memory.max", "memory.current")) {
      pressure_file = io::join(folder, "memory.pressure");
    }
  }
  for (const std::string_view group : groups_around(groups.memory_v1.value_or(""))) {
    const std::string folder = "/sys/fs/cgroup/memory" + std::string(group);
    (void)look_at(folder, "memory.limit_in_bytes", "memory.usage_in_bytes");
  }
  return pressure_file;
}

}  // namespace

MemorySample sample_memory(io::Filesystem& files) {
  MemorySample sample;
  const std::string pressure_file = read_nearest_limit(files, sample);
  const auto pressure = parse_pressure(io::read_pseudo_file(files, pressure_file));
  if (pressure) {
    sample.some_avg10 = pressure->some_avg10;
    sample.full_avg10 = pressure->full_avg10;
  }
  const auto resident = parse_resident_bytes(io::read_pseudo_file(files, "/proc/self/status"));
  sample.own_bytes = resident.value_or(0);
  return sample;
}

MemoryWatch::MemoryWatch(io::World& world, std::function<void(uint64_t)> tell_left)
    : world_(world), tell_left_(std::move(tell_left)), tasks_(world.executor, world.clock) {
  governor_.set_directory(pool_directory());
  governor_.set_after_trim([] { ::malloc_trim(0); });
}

void MemoryWatch::start() { tasks_.spawn(watch()); }

io::Task<void> MemoryWatch::stop() { co_await tasks_.stop(); }

io::Task<void> MemoryWatch::watch() {
  while (true) {
    const auto slept = co_await world_.clock.sleep_for(kInterval, {io::kNever, tasks_.token()});
    if (!slept) co_return;
    auto read = [this] { return sample_memory(world_.files); };
    const MemorySample sample = co_await world_.workers.run(read);
    if (sample.limit_bytes > 0) tell_left_(sample.left_bytes);
    resident_memory.set(static_cast<double>(sample.own_bytes));
    const auto outcome = governor_.observe(sample);
    if (outcome.changed) {
      log_warn("memory level", field("level", to_string(outcome.level)),
               field("used", sample.used_bytes), field("limit", sample.limit_bytes),
               field("own", sample.own_bytes), field("trimmed", outcome.trimmed_bytes));
    }
  }
}

}  // namespace om::app
