// Times and sizes as people and Ollama's clients write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om {

// What Go's time.ParseDuration reads ("5m", "1h30m", "-1.5s", "300ms"), with its error texts:
//   time: invalid duration "bogus"
// https://pkg.go.dev/time#ParseDuration
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// The same, and a bare whole number as seconds ("-1", "300"), as OLLAMA_KEEP_ALIVE takes it.
// Seconds beyond what nanoseconds can hold become the longest duration of that sign.
Result<std::chrono::nanoseconds> parse_duration_or_seconds(std::string_view text);

// As Go prints a Duration: "1h30m0s", "1.5s", "12ms", "0s".
std::string format_duration(std::chrono::nanoseconds duration);

// Decimal size as `ollama list` shows it: "253 MB", "1.3 GB", "999 B".
std::string format_size(uint64_t bytes);

// Parameter counts as `ollama show` has them: "8B", "134.52M", "12K".
std::string format_count(uint64_t count);

}  // namespace om
