#include "generation/record_store.h"

#include <algorithm>

namespace om::generation {
namespace {

constexpr std::chrono::seconds kOldLook{1};

}  // namespace

void RecordStore::give(Record& record, uint64_t owner) {
  if (owner == record.owner) return;
  record.owner = owner;
  std::exchange(record.superseded, io::CancelSource()).cancel();
}

Result<RecordStore::Taken> RecordStore::take(const std::string& name,
                                             std::string_view fingerprint) {
  const auto found = records_.find(name);
  if (found == records_.end()) return fail(Errc::not_found, "no such record");
  Record& record = found->second;
  if (record.fingerprint != fingerprint) {
    return fail(Errc::invalid_argument, "this Idempotency-Key was used for another request");
  }
  give(record, ((record.owner >> kOwnerTurnShift) + 1) << kOwnerTurnShift);
  record.used = clock_.now();
  return Taken{record.owner, record.lines};
}

Result<void> RecordStore::put(const std::string& name, std::string_view fingerprint, uint64_t owner,
                              std::string lines) {
  if (lines.size() > kRecordBytesMax) {
    remove(name);
    return fail(Errc::overloaded, "an answer of {} bytes is too long to be kept", lines.size());
  }
  Record& record = records_[name];
  if (owner < record.owner) {
    return fail(Errc::already_exists, "another node has taken this answer");
  }
  give(record, owner);
  bytes_ += lines.size();
  bytes_ -= record.lines.size();
  record.fingerprint = fingerprint;
  record.lines = std::move(lines);
  record.used = clock_.now();
  make_room();
  return {};
}

Result<void> RecordStore::add(const std::string& name, uint64_t owner, size_t from,
                              std::string_view lines) {
  const auto found = records_.find(name);
  if (found == records_.end()) return fail(Errc::not_found, "no such record");
  Record& record = found->second;
  if (owner < record.owner) {
    return fail(Errc::already_exists, "another node has taken this answer");
  }
  if (record.owner != owner || from != record.lines.size()) {
    return fail(Errc::not_found, "something before these lines is missing");
  }
  if (from + lines.size() > kRecordBytesMax) {
    erase(found);
    return fail(Errc::overloaded, "an answer of {} bytes is too long to be kept",
                from + lines.size());
  }
  record.lines += lines;
  bytes_ += lines.size();
  record.used = clock_.now();
  make_room();
  return {};
}

const std::string* RecordStore::lines(const std::string& name, uint64_t owner) const {
  const auto found = records_.find(name);
  return found != records_.end() && found->second.owner == owner ? &found->second.lines : nullptr;
}

io::CancelToken RecordStore::superseded(const std::string& name, uint64_t owner) {
  const auto found = records_.find(name);
  if (found != records_.end() && found->second.owner == owner) {
    return found->second.superseded.token();
  }
  io::CancelSource gone;
  gone.cancel();
  return gone.token();
}

void RecordStore::remove(const std::string& name) {
  if (const auto found = records_.find(name); found != records_.end()) erase(found);
}

// Its answer may go on: it only cannot be picked up any more.
void RecordStore::erase(Records::iterator record) {
  bytes_ -= record->second.lines.size();
  records_.erase(record);
}

void RecordStore::make_room() {
  const io::TimePoint now = clock_.now();
  if (now - looked_at_ >= kOldLook) {  // Not at all of them for each token.
    looked_at_ = now;
    for (auto record = records_.begin(); record != records_.end();) {
      const auto next = std::next(record);
      if (now - record->second.used > kRecordAgeMax) erase(record);
      record = next;
    }
  }
  while (bytes_ > kRecordsBytesMax || records_.size() > kRecordsMax) {
    erase(std::ranges::min_element(records_, {},
                                   [](const auto& record) { return record.second.used; }));
  }
}

}  // namespace om::generation
