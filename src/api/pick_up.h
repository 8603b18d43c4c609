// Answers that a client can pick up again: `Idempotency-Key` names one, `Last-Event-ID` says how
// much of it the client has. Every event of such a stream has a number from 1 on: SSE's `id:` line
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), or for NDJSON its line's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace om::api {

inline constexpr size_t kIdempotencyKeyMax = 255;

// Numbers events and drops those that the client has. Numbers depend on the answer only, not on the
// node or the connection. A plain value.
class EventNumbers {
 public:
  // `seen`: number of the last event that the client has.
  explicit EventNumbers(uint64_t seen) : seen_(seen) {}
  // Before the first event.
  void set_event_stream(bool event_stream) { event_stream_ = event_stream; }
  // `text` holds whole events.
  std::string pass(std::string_view text);
  // Call before events that were never sent. not_found: the client has more events than have
  // passed, so they are of another answer. `unsent`: number of first events that are the same for
  // every answer, if none has passed yet.
  Result<void> begin_new(uint64_t unsent) const;

 private:
  uint64_t seen_, number_ = 0;
  bool event_stream_ = false;
};

struct PickUp {
  // The answer's name for this caller alone: a hash of credentials, path and key, 64 hex digits.
  std::string record;
  EventNumbers numbers;
};

// nullopt: no `Idempotency-Key`. invalid_argument: an unfit key or `Last-Event-ID`.
Result<std::optional<PickUp>> read_pick_up(const http::Headers& headers, std::string_view path);

}  // namespace om::api
