// The fields of a request that have rules of their own, from JSON to values: keep_alive, think,
// format. Pure functions; any thread.
#pragma once

#include <boost/json.hpp>
#include <chrono>

#include "base/result.h"
#include "model/chat.h"

namespace om::model {

// Longer than anyone waits; negative durations mean this.
inline constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();

// keep_alive: a number of seconds, or a text: a Go duration, or whole seconds, as the settings of
// many clients give them. Negative is forever; null and "" leave it as it is. What comes back is
// never negative.
// invalid_argument: as om::parse_duration, or `Unsupported type: 'bool'`.
Result<KeepAlive> parse_keep_alive(const boost::json::value& value);

// think: true, false, "low", "medium", "high", "max" (or "true", "false"); null is not set.
// invalid_argument: `invalid think value: "x" (must be ...)`, `think must be a boolean or ...`.
Result<Think> parse_think(const boost::json::value& value);

// format: null or "" none, "json", or an object that is a JSON schema.
// invalid_argument: `invalid format: "..."; expected "json" or a valid JSON Schema object`.
Result<Format> parse_format(const boost::json::value& value);

}  // namespace om::model
