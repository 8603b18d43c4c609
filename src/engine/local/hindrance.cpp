#include "engine/local/hindrance.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "io/pseudo_file.h"

namespace om::engine {
namespace {

constexpr size_t kMajorFaults = 9;  // Fields after the program's name, from 0 on.

uint64_t field_at(std::string_view text, size_t index) {
  for (; index > 0; index--) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos) return 0;
    text.remove_prefix(space + 1);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? value : 0;
}

}  // namespace

ChildWork parse_work(std::string_view schedstat, std::string_view stat) {
  ChildWork work{.waited = field_at(schedstat, 1)};
  // The name may hold anything, also what looks like its end.
  const size_t name_end = stat.rfind(") ");
  if (name_end != std::string_view::npos) {
    work.page_reads = field_at(stat.substr(name_end + 2), kMajorFaults);
  }
  return work;
}

double free_share(const ChildWork& before, const ChildWork& after, io::Duration elapsed) {
  if (after.page_reads > before.page_reads) return 0;
  if (after.waited <= before.waited || elapsed.count() <= 0) return 1;
  const auto waited = static_cast<double>(after.waited - before.waited);
  return std::max(0.0, 1 - waited / static_cast<double>(elapsed.count()));
}

double Hindrance::free_share_now(io::Filesystem& files, int pid, io::Duration since_last) {
  const ChildWork now =
      parse_work(io::read_pseudo_file(files, fmt::format("/proc/{}/schedstat", pid)),
                 io::read_pseudo_file(files, fmt::format("/proc/{}/stat", pid)));
  const double share = before_ ? free_share(*before_, now, since_last) : 1;
  before_ = now;
  return share;
}

}  // namespace om::engine
