#include "app/memory_watch.h"

#include <malloc.h>

#include "base/log.h"
#include "io/pseudo_file.h"

namespace om::app {
namespace {

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

}  // namespace

MemorySample sample_memory(io::Filesystem& files) {
  MemorySample sample;
  const CgroupPaths groups = parse_cgroup_paths(io::read_pseudo_file(files, "/proc/self/cgroup"));
  std::string pressure_file = "/proc/pressure/memory";
  bool limited = false;
  if (groups.unified) {
    const std::string folder = "/sys/fs/cgroup" + *groups.unified;
    limited = read_group(files, folder, "memory.max", "memory.current", sample);
    if (limited) pressure_file = io::join(folder, "memory.pressure");
  }
  if (!limited && groups.memory_v1) {
    limited = read_group(files, "/sys/fs/cgroup/memory" + *groups.memory_v1,
                         "memory.limit_in_bytes", "memory.usage_in_bytes", sample);
  }
  if (!limited) {
    const auto machine = parse_machine_memory(io::read_pseudo_file(files, "/proc/meminfo"));
    if (machine) {
      sample.limit_bytes = machine->total_bytes;
      sample.used_bytes =
          machine->total_bytes - std::min(machine->total_bytes, machine->available_bytes);
    }
  }
  const auto pressure = parse_pressure(io::read_pseudo_file(files, pressure_file));
  if (pressure) {
    sample.some_avg10 = pressure->some_avg10;
    sample.full_avg10 = pressure->full_avg10;
  }
  const auto resident = parse_resident_bytes(io::read_pseudo_file(files, "/proc/self/status"));
  sample.own_bytes = resident.value_or(0);
  return sample;
}

MemoryWatch::MemoryWatch(io::World& world) : world_(world), tasks_(world.executor, world.clock) {
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
    const auto outcome = governor_.observe(sample);
    if (outcome.changed) {
      log_warn("memory level", field("level", to_string(outcome.level)),
               field("used", sample.used_bytes), field("limit", sample.limit_bytes),
               field("own", sample.own_bytes), field("trimmed", outcome.trimmed_bytes));
    }
  }
}

}  // namespace om::app
