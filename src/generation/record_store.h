// The records that this node holds: of answers made here, and second copies of other nodes'
// records.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/cancel.h"
#include "io/clock.h"

namespace om::generation {

inline constexpr size_t kRecordBytesMax = 4 << 20, kRecordsBytesMax = 64 << 20;
inline constexpr size_t kRecordsMax = 4096;
inline constexpr std::chrono::minutes kRecordAgeMax{10};
// The high bits of an owner count the takes; the low bits tell apart owners that took a record at
// the same time.
inline constexpr int kOwnerTurnShift = 40;

// Bounded: a record that was not used for kRecordAgeMax goes, and the oldest ones when there are
// too many. On the io thread.
//
// An owner is a number that grows with each take. A record rejects writes of a smaller number: an
// owner that was replaced, and does not know yet, cannot write.
class RecordStore {
 public:
  explicit RecordStore(const io::Clock& clock) : clock_(clock) {}

  struct Taken {
    uint64_t owner = 0;  // Larger than all earlier ones here.
    std::string lines;
  };
  // Cancels the owner before. not_found. invalid_argument: the record is of another request.
  Result<Taken> take(const std::string& name, std::string_view fingerprint);

  // Writes the whole record. already_exists: a larger owner has it. overloaded: too long.
  Result<void> put(const std::string& name, std::string_view fingerprint, uint64_t owner,
                   std::string lines);
  // Appends to a record of `from` bytes. not_found: unknown or of another length: put() is wanted.
  // Other errors as of put().
  Result<void> add(const std::string& name, uint64_t owner, size_t from, std::string_view lines);
  void remove(const std::string& name);

  // Null: another owner has it, or it is gone. Valid until something changes here.
  const std::string* lines(const std::string& name, uint64_t owner) const;
  // Cancelled when an owner larger than this one came, or the record is gone.
  io::CancelToken superseded(const std::string& name, uint64_t owner);

  size_t bytes() const { return bytes_; }
  size_t size() const { return records_.size(); }

 private:
  struct Record {
    std::string fingerprint, lines;
    uint64_t owner = 0;
    io::TimePoint used{};
    io::CancelSource superseded;
  };
  using Records = std::map<std::string, Record, std::less<>>;

  static void give(Record& record, uint64_t owner);
  void erase(Records::iterator record);
  void make_room();

  const io::Clock& clock_;
  Records records_;
  size_t bytes_ = 0;
  io::TimePoint looked_at_{};  // When old records were last looked for.
};

}  // namespace om::generation
