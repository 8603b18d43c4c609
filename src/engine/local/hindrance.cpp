#include "engine/local/hindrance.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "io/pseudo_file.h"

namespace om::engine {
namespace {

constexpr size_t kMajorFaults = 9;  // Fields after the program's name, from 0 on.
constexpr size_t kThreadsMax = 1024;
constexpr uint64_t kPageBytes = 4096;  // At least.
// Threads that serve connections wake once a second, for some 50 microseconds.
constexpr double kIdleShareMax = 0.05;
// A script that waits for the program it started never did as much as that, usually: not every
// kernel tells of its children.
constexpr uint64_t kWorkerRanMin = 50'000'000;

uint64_t number_at(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? value : 0;
}

uint64_t field_at(std::string_view text, size_t index) {
  for (; index > 0; index--) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos) return 0;
    text.remove_prefix(space + 1);
  }
  return number_at(text);
}

uint64_t number_after(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  return at == std::string_view::npos ? 0 : number_at(text.substr(at + name.size()));
}

// What a counter grew by; 0 where it is gone.
double grown(uint64_t before, uint64_t after) {
  return after > before ? static_cast<double>(after - before) : 0;
}

// What it does may be theirs to do: a script waits for the program that it started.
bool has_children(io::Filesystem& files, int pid, const ChildWork& threads) {
  return std::ranges::any_of(threads, [&](const auto& thread) {
    const io::Path path = fmt::format("/proc/{}/task/{}/children", pid, thread.first);
    return !io::read_pseudo_file(files, path).empty();
  });
}

}  // namespace

ThreadWork parse_work(std::string_view schedstat, std::string_view stat) {
  ThreadWork work{.ran = field_at(schedstat, 0), .waited = field_at(schedstat, 1)};
  // The name may hold anything, also what looks like its end.
  const size_t name_end = stat.rfind(") ");
  if (name_end != std::string_view::npos && name_end + 2 < stat.size()) {
    stat.remove_prefix(name_end + 2);
    work.state = stat.front();
    work.page_reads = field_at(stat, kMajorFaults);
  }
  return work;
}

ChildWork read_work(io::Filesystem& files, int pid) {
  ChildWork work;
  const std::string folder = fmt::format("/proc/{}/task", pid);
  const auto threads = files.list(folder);
  if (!threads || threads->size() > kThreadsMax) return work;
  for (const std::string& thread : *threads) {
    const std::string of_thread = io::join(folder, thread);
    work.emplace(thread, parse_work(io::read_pseudo_file(files, of_thread + "/schedstat"),
                                    io::read_pseudo_file(files, of_thread + "/stat")));
  }
  return work;
}

uint64_t read_bytes(io::Filesystem& files, int pid) {
  const std::string folder = fmt::format("/proc/{}", pid);
  const std::string calls = io::read_pseudo_file(files, folder + "/io");
  const ThreadWork whole = parse_work({}, io::read_pseudo_file(files, folder + "/stat"));
  return number_after(calls, "rchar: ") + number_after(calls, "read_bytes: ") +
         kPageBytes * whole.page_reads;
}

ChildLook compare(const ChildWork& before, const ChildWork& after, io::Duration elapsed) {
  ChildLook look;
  if (elapsed.count() <= 0) return look;
  const auto time = static_cast<double>(elapsed.count());
  look.idle = !after.empty() && before.size() == after.size();
  double waited = 0;
  uint64_t ran_ever = 0;
  bool reads = false;
  for (const auto& [thread, now] : after) {
    ran_ever += now.ran;
    const auto found = before.find(thread);
    if (found == before.end()) {  // Whoever made it ran.
      look.idle = false;
      continue;
    }
    const ThreadWork& then = found->second;
    const double ran = grown(then.ran, now.ran);
    double wait = grown(then.waited, now.waited);
    // The kernel counts a wait when it is over.
    if (now.state == 'R' && then.state == 'R' && ran + wait == 0) wait = time;
    waited = std::max(waited, wait);
    reads |= now.page_reads > then.page_reads;
    const bool wants = now.state == 'R' || now.state == 'D' || now.state == 0;
    if (wants || ran + wait > kIdleShareMax * time) look.idle = false;
  }
  look.idle = look.idle && ran_ever >= kWorkerRanMin && !reads;
  look.free_share = reads ? 0 : std::max(0.0, 1 - waited / time);
  return look;
}

ChildLook Hindrance::look(io::Filesystem& files, int pid, io::Duration since_last) {
  ChildWork now = read_work(files, pid);
  ChildLook look = before_ ? compare(*before_, now, since_last) : ChildLook{};
  look.idle = look.idle && !has_children(files, pid, now);
  before_ = std::move(now);
  return look;
}

}  // namespace om::engine
