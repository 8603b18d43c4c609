// Requests that killed runners, told apart by a fingerprint of their content.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/task.h"

namespace om::scheduler {

// After one death a request is a suspect and runs alone, so that a second death is surely its own;
// after two it is refused. A runner that somebody's signal ended does not count. One that hung
// makes the request a suspect and no more: the machine may have been slow. Entries are forgotten
// after kMemory, and above kEntriesMax the least recently seen. A plain value, used from one
// thread.
class Quarantine {
 public:
  static constexpr size_t kEntriesMax = 1024;
  static constexpr int kDeathsMax = 2;
  static constexpr std::chrono::hours kMemory{1};

  // A runner died while it worked on this request. An empty fingerprint is never remembered.
  void add_death(std::string_view fingerprint, io::TimePoint now);
  // A runner hung: the request is a suspect, and no more than that however often one hangs.
  void add_suspicion(std::string_view fingerprint, io::TimePoint now);
  void acquit(std::string_view fingerprint);  // It was answered.

  bool is_suspect(std::string_view fingerprint, io::TimePoint now) const {
    return deaths(fingerprint, now) > 0;
  }
  bool is_refused(std::string_view fingerprint, io::TimePoint now) const {
    return deaths(fingerprint, now) >= kDeathsMax;
  }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string fingerprint;
    int deaths = 0;
    io::TimePoint seen{};
  };
  int deaths(std::string_view fingerprint, io::TimePoint now) const;

  std::list<Entry> entries_;  // Most recent first; a list keeps the keys of `index_` in place.
  std::unordered_map<std::string_view, std::list<Entry>::iterator> index_;
};

}  // namespace om::scheduler
