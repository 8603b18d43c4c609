#include "base/memory/memory_sample.h"

#include "base/strings.h"

namespace om {
namespace {

// v1 says "no limit" with the largest number of pages; nobody has this much memory.
constexpr uint64_t kNoLimitV1 = uint64_t{1} << 62;

// "VmRSS:	   1234 kB" -> 1234 * 1024.
Result<uint64_t> kilobytes(std::string_view text, std::string_view key) {
  for (const auto line : split(text, '\n')) {
    const auto words = split_words(line);
    if (words.size() != 3 || words[0] != key || words[2] != "kB") continue;
    const auto number = parse_number<uint64_t>(words[1]);
    if (number && *number < UINT64_MAX / 1024) return *number * 1024;
  }
  return fail(Errc::corrupt, "no '{}' with a size", key);
}

std::optional<uint64_t> stat_value(std::string_view text, std::string_view key) {
  for (const auto line : split(text, '\n')) {
    const auto pair = split_once(line, " ");
    if (pair && pair->first == key) return parse_number<uint64_t>(trim(pair->second));
  }
  return std::nullopt;
}

}  // namespace

Result<MemoryPressure> parse_pressure(std::string_view text) {
  MemoryPressure pressure;
  bool some_seen = false;
  for (const auto line : split(text, '\n')) {
    const auto words = split_words(line);
    if (words.size() < 2 || !words[1].starts_with("avg10=")) continue;
    const auto value = parse_number<double>(words[1].substr(6));
    if (!value || !(*value >= 0 && *value <= 100)) {
      return fail(Errc::corrupt, "memory pressure '{}' is no percentage", words[1]);
    }
    if (words[0] == "some") {
      pressure.some_avg10 = *value;
      some_seen = true;
    } else if (words[0] == "full") {
      pressure.full_avg10 = *value;
    }
  }
  if (!some_seen) return fail(Errc::corrupt, "memory pressure without a 'some' line");
  return pressure;
}

CgroupPaths parse_cgroup_paths(std::string_view text) {
  CgroupPaths paths;
  for (const auto line : split(text, '\n')) {
    // hierarchy-id:controllers:path, and the path may hold colons.
    const auto id = split_once(line, ":");
    if (!id) continue;
    const auto rest = split_once(id->second, ":");
    if (!rest || !rest->second.starts_with('/')) continue;
    if (id->first == "0" && rest->first.empty()) paths.unified = rest->second;
    for (const auto controller : split(rest->first, ',')) {
      if (controller == "memory") paths.memory_v1 = rest->second;
      if (controller == "cpu") paths.cpu_v1 = rest->second;
    }
  }
  return paths;
}

std::vector<std::string_view> groups_around(std::string_view group) {
  constexpr size_t kLevelsMax = 32;
  std::vector<std::string_view> around;
  for (; group.size() > 1 && around.size() + 1 < kLevelsMax;
       group = group.substr(0, group.rfind('/'))) {
    around.push_back(group);
  }
  around.emplace_back();
  std::ranges::reverse(around);
  return around;
}

Result<std::optional<uint64_t>> parse_cgroup_limit(std::string_view text) {
  if (trim(text) == "max") return std::nullopt;
  TRY(const uint64_t limit, parse_cgroup_usage(text));
  if (limit >= kNoLimitV1) return std::nullopt;
  return limit;
}

Result<uint64_t> parse_cgroup_usage(std::string_view text) {
  const auto bytes = parse_number<uint64_t>(trim(text));
  if (!bytes) return fail(Errc::corrupt, "'{}' is no number of bytes", trim(text).substr(0, 40));
  return *bytes;
}

Result<uint64_t> parse_file_cache_bytes(std::string_view text) {
  // v1 counts children of the group only in the total_ lines; its limit includes them.
  for (const std::string prefix : {"total_", ""}) {
    const auto active = stat_value(text, prefix + "active_file");
    const auto inactive = stat_value(text, prefix + "inactive_file");
    if (active && inactive) return *active + *inactive;
  }
  return fail(Errc::corrupt, "memory.stat without active_file and inactive_file");
}

Result<uint64_t> parse_resident_bytes(std::string_view text) { return kilobytes(text, "VmRSS:"); }

Result<MachineMemory> parse_machine_memory(std::string_view text) {
  MachineMemory memory;
  TRY(memory.total_bytes, kilobytes(text, "MemTotal:"));
  TRY(memory.available_bytes, kilobytes(text, "MemAvailable:"));
  return memory;
}

}  // namespace om
