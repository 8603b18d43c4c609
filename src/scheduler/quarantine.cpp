#include "scheduler/quarantine.h"

namespace om::scheduler {

int Quarantine::deaths(std::string_view fingerprint, io::TimePoint now) const {
  const auto found = index_.find(fingerprint);
  if (found == index_.end() || now - found->second->seen > kMemory) return 0;
  return found->second->deaths;
}

void Quarantine::add_death(std::string_view fingerprint, io::TimePoint now) {
  if (fingerprint.empty()) return;
  const int before = deaths(fingerprint, now);
  acquit(fingerprint);
  entries_.push_front(Entry{std::string(fingerprint), before + 1, now});
  index_.emplace(entries_.front().fingerprint, entries_.begin());
  if (entries_.size() <= kEntriesMax) return;
  index_.erase(entries_.back().fingerprint);
  entries_.pop_back();
}

void Quarantine::add_suspicion(std::string_view fingerprint, io::TimePoint now) {
  if (!is_suspect(fingerprint, now)) add_death(fingerprint, now);
}

void Quarantine::acquit(std::string_view fingerprint) {
  const auto found = index_.find(fingerprint);
  if (found == index_.end()) return;
  const auto entry = found->second;
  index_.erase(found);
  entries_.erase(entry);
}

}  // namespace om::scheduler
