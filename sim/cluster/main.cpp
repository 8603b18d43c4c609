// Runs simulated clusters, one a seed, and prints "N passed, N failed" as its last line.
//
//   cluster_sim [--seeds COUNT] [--first SEED] [--jobs COUNT]   every tenth one runs twice: its
//                                                               trace must be the same
//   cluster_sim --seed SEED     replays one and prints what happened
//   cluster_sim --planted SEEDS [--first SEED] [--jobs COUNT]   whether each bug that is planted on
//                               purpose is found within so many seeds
// With SIM_BUG=NAME in its environment it runs with that one of planted_bug.h.
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <map>

#include "base/check.h"
#include "base/log.h"
#include "sim/cluster/planted.h"
#include "sim/cluster/processor_limit.h"
#include "sim/cluster/run.h"

namespace om::sim {
namespace {

constexpr uint64_t kSeeds = 500, kJobs = 2, kChunk = 10, kShownMax = 8;
constexpr std::chrono::seconds kSeedMax{300};  // Of the processor: it spins otherwise.

// So many seeds together must have done what they are for, or they prove less than they say: half
// of what they did when these were set. A mechanism that works in one of them alone is broken.
constexpr uint64_t kSeedsWithFloors = 500;
struct Floor {
  const char* name;
  int64_t least;
};
constexpr Floor kFloors[] = {
    {"absences judged", 1000},
    {"answers moved", 15},
    {"answers resumed", 270},
    {"answers that had to come", 20'000},
    {"backends: answers taken over by one", 50},
    {"backends: answers taken over from one", 55},
    {"calm runs", 6},
    {"changes judged", 100},
    {"facts: parts judged", 3800},
    {"models that have their copies", 850},
    {"prompt tokens read ahead", 1},
    {"pulls: blobs drawn once", 250},
    {"pulls: catalogue judged", 130},
    {"silences judged", 2200},
    {"split model: answers", 1400},
};

struct Options {
  uint64_t first = 1, count = kSeeds, jobs = kJobs;
  bool one = false, planted = false;
};

std::string replay_line(uint64_t seed) {
  return fmt::format("build/release/cluster_sim --seed {}", seed);
}

// Told also when a check aborts the run.
std::string g_replay;
PlantedBug g_bug = PlantedBug::none;

void tell_replay(int number) {
  const auto written = ::write(STDERR_FILENO, g_replay.data(), g_replay.size());
  (void)written;  // The process ends anyway.
  std::signal(number, SIG_DFL);
  std::raise(number);
}

PathReport run_told(uint64_t seed) {
  g_replay = fmt::format("seed {} died: {}\n", seed, replay_line(seed));
  for (const int number : {SIGABRT, SIGPROF}) std::signal(number, tell_replay);
  ClusterRun run(seed, g_bug);
  return run.run();
}

int replay(uint64_t seed) {
  g_replay = fmt::format("seed {} died\n", seed);
  std::signal(SIGABRT, tell_replay);
  ClusterRun run(seed, g_bug);
  fmt::print("{}\n", run.scenario().describe());
  std::fflush(stdout);
  set_log_sink([&run](LogLevel, std::string_view line) {
    const size_t after_time = std::min(line.find(' '), line.size());
    fmt::print("{}{}\n", run.now(), line.substr(after_time));
  });
  const PathReport report = run.run();
  set_log_sink({});
  for (const auto& [name, number] : report.counts) fmt::print("{:6} {}\n", number, name);
  for (const std::string& text : report.complaints) fmt::print("COMPLAINT {}\n", text);
  fmt::print("trace {:016x}\n", report.trace);
  fmt::print("{} passed, {} failed\n", report.complaints.empty() ? 1 : 0,
             report.complaints.empty() ? 0 : 1);
  return report.complaints.empty() ? 0 : 1;
}

// In a process of its own: a check that fails ends only that. Tells "ok SEED" and the counts.
[[noreturn]] void run_chunk(uint64_t first, uint64_t end, int to) {
  std::FILE* out = ::fdopen(to, "w");
  for (uint64_t seed = first; seed < end; seed++) {
    limit_processor_time(kSeedMax);
    PathReport report = run_told(seed);
    // A seed that gives another run each time replays nothing. One of each chunk is enough to tell.
    if (seed == first && run_told(seed).trace != report.trace) {
      report.complaints.emplace_back("the same seed ran differently a second time");
    }
    for (size_t i = 0; i < report.complaints.size() && i < kShownMax; i++) {
      fmt::print(stderr, "seed {}: {}\n", seed, report.complaints[i]);
    }
    for (const auto& [name, number] : report.counts) fmt::print(out, "{} {}\n", number, name);
    if (report.complaints.empty()) {
      fmt::print(out, "ok\n");
    } else {
      fmt::print(stderr, "replay: {}\n", replay_line(seed));
    }
    std::fflush(out);
  }
  std::fclose(out);
  std::exit(0);  // Leaks are looked for.
}

struct Child {
  pid_t process = 0;
  uint64_t first = 0, count = 0;
  int from = -1;
};

// Reads what a child told; how many of its seeds held.
uint64_t collect(const Child& child, std::map<std::string, int64_t>& counts) {
  uint64_t passed = 0;
  std::FILE* in = ::fdopen(child.from, "r");
  char line[256];
  while (std::fgets(line, sizeof(line), in) != nullptr) {
    const std::string_view text(line);
    int number = 0;
    if (text == "ok\n") passed++;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc() || read.ptr == text.data()) continue;
    std::string name(read.ptr + 1, text.data() + text.size() - 1);
    counts[name] += number;
  }
  std::fclose(in);
  return passed;
}

Child start_child(uint64_t first, uint64_t count) {
  int ends[2];
  CHECK(::pipe(ends) == 0, "no pipe");
  std::fflush(nullptr);
  const pid_t process = ::fork();
  CHECK(process >= 0, "no process");
  if (process == 0) {
    ::close(ends[0]);
    run_chunk(first, first + count, ends[1]);
  }
  ::close(ends[1]);
  return {process, first, count, ends[0]};
}

// What many runs have not done, or too seldom; how much of that there is.
uint64_t tell_missing(std::map<std::string, int64_t> counts, uint64_t seeds) {
  std::map<std::string, int64_t> least;
  for (const Floor& floor : kFloors) {
    least[floor.name] = floor.least * static_cast<int64_t>(seeds / kSeedsWithFloors);
  }
  for (int kind = 0; kind < kFaultKinds; kind++) {
    least.emplace(to_string(static_cast<FaultKind>(kind)), 1);
  }
  // Almost any fault excuses one of these that does not come; nine of ten do.
  int64_t& answers = least["split model: answers"];
  answers =
      std::max(answers, (counts["split model: answers"] + counts["split model: others"]) * 2 / 3);
  uint64_t missing = 0;
  for (const auto& [name, wanted] : least) {
    if (counts[name] >= wanted) continue;
    fmt::print(stderr, "so many runs had {} {}, not {} as they should\n", counts[name], name,
               wanted);
    missing++;
  }
  return missing;
}

int run_all(const Options& options) {
  std::map<std::string, int64_t> counts;
  std::map<pid_t, Child> children;
  uint64_t passed = 0, leaky = 0, next = options.first;
  const uint64_t end = options.first + options.count;
  while (next < end || !children.empty()) {
    while (next < end && children.size() < options.jobs) {
      const Child child = start_child(next, std::min(kChunk, end - next));
      children[child.process] = child;
      next += child.count;
    }
    int status = 0;
    const pid_t ended = ::wait(&status);
    const auto found = children.find(ended);
    if (found == children.end()) continue;
    const uint64_t held = collect(found->second, counts);
    passed += held;
    if (status != 0 && held == found->second.count) {
      leaky++;
      fmt::print(stderr, "seeds from {} on: ended with status {}\n", found->second.first, status);
    }
    children.erase(found);
  }
  for (const auto& [name, number] : counts) fmt::print("{:8} {}\n", number, name);
  uint64_t failed = options.count - passed + leaky;
  if (options.count >= kSeedsWithFloors) failed += tell_missing(counts, options.count);
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

int main_with(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--seed") {
      options.one = true;
      options.first = value;
    } else if (flag == "--seeds") {
      options.count = value;
    } else if (flag == "--planted") {
      options.planted = true;
      options.count = value;
    } else if (flag == "--first") {
      options.first = value;
    } else if (flag == "--jobs") {
      options.jobs = std::max<uint64_t>(value, 1);
    } else {
      fmt::print(stderr, "unknown: {}\n", flag);
      return 2;
    }
  }
  if (const char* name = std::getenv("SIM_BUG")) {
    const auto bug = planted_bug(name);
    if (!bug) {
      fmt::print(stderr, "no bug is called {}\n", name);
      return 2;
    }
    g_bug = *bug;
  }
  if (options.one) return replay(options.first);
  set_log_level(LogLevel::off);
  if (options.planted) return find_planted_bugs(options.first, options.count, options.jobs);
  return run_all(options);
}

}  // namespace
}  // namespace om::sim

int main(int argc, char** argv) { return om::sim::main_with(argc, argv); }
