// Answers that a client can pick up again: `Idempotency-Key` names one, `Last-Event-ID` says how
// much of it has come. Every event of such a stream has a number from 1 on: SSE's `id:` line
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

// Passes on what the client has not got yet. Numbers depend on the answer only, not on the node
// or the connection.
class EventNumbers {
 public:
  // `seen`: number of the last event that the client has.
  explicit EventNumbers(uint64_t seen) : seen_(seen) {}
  // Before the first event.
  void set_event_stream(bool event_stream) { event_stream_ = event_stream; }
  // `text` holds whole events.
  std::string pass(std::string_view text);
  // What comes next was never sent before. not_found: the client has more events than have passed,
  // of an answer that is not this one. `unsent`: events at the beginning that do not depend on the
  // answer, if none has passed yet.
  Result<void> begin_new(uint64_t unsent) const;

 private:
  uint64_t seen_, number_ = 0;
  bool event_stream_ = false;
};

struct PickUp {
  // Names the answer for this caller, so that nobody else can ask for it: of the credentials, the
  // path and the key, 64 hex digits.
  std::string record;
  EventNumbers numbers;
};

// Nothing without `Idempotency-Key`. invalid_argument: an unfit key or `Last-Event-ID`.
Result<std::optional<PickUp>> read_pick_up(const http::Headers& headers, std::string_view path);

}  // namespace om::api
