// One line per event a person on call would want: an event name and key=value fields.
//
//   log_info("pull finished", field("model", name), field("bytes", size));
//   -> 2026-11-24T03:38:14.123Z info event="pull finished" model=llama3 bytes=1234
//
// No secrets and no prompts go in. Whatever a value holds, a line stays one line and a value cannot
// pass for another field: values are quoted and escaped when needed and cut at a bound.
// Every function may be called from any thread. A line below the level costs its fields only.
#pragma once

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace om {

enum class LogLevel : int { trace, debug, info, warn, error, off };
enum class LogFormat { text, json };

inline constexpr size_t kLogValueBytesMax = 4096;  // Longer values are cut, marked with "...".

std::string_view to_string(LogLevel level);
// "trace", "debug", "info", "warn"/"warning", "error", "off", in any case.
Result<LogLevel> parse_log_level(std::string_view text);

// What a field carries; views must live until the log call returns.
using LogValue = std::variant<std::string_view, std::string, int64_t, uint64_t, double, bool>;

struct LogField {
  std::string_view key;
  LogValue value;
};

// Makes a field of text, numbers, bools, durations (in seconds), errors, enums with to_string(),
// types with str(), and whatever fmt can print.
template <class T>
LogField field(std::string_view key, const T& value);

template <class... Fields>
void log_trace(std::string_view event, const Fields&... fields);
template <class... Fields>
void log_debug(std::string_view event, const Fields&... fields);
template <class... Fields>
void log_info(std::string_view event, const Fields&... fields);
template <class... Fields>
void log_warn(std::string_view event, const Fields&... fields);
template <class... Fields>
void log_error(std::string_view event, const Fields&... fields);

// Takes effect at once, for all threads. The program starts at info, text, to stderr.
void set_log_level(LogLevel level);
LogLevel log_level();
void set_log_format(LogFormat format);

// Sends finished lines (without newline) to `sink` instead of stderr; an empty sink restores
// stderr. The sink is called under a lock and must not log. For tests and the page's live log.
using LogSink = std::function<void(LogLevel level, std::string_view line)>;
void set_log_sink(LogSink sink);

namespace log_detail {

extern std::atomic<int> threshold;
void write(LogLevel level, std::string_view event, std::span<const LogField> fields);

// The part of a line after time and level; separate so that it can be tested byte for byte.
std::string body(LogFormat format, std::string_view event, std::span<const LogField> fields);

template <class... Fields>
void log(LogLevel level, std::string_view event, const Fields&... fields) {
  const std::array<LogField, sizeof...(Fields)> all{fields...};
  write(level, event, all);
}

inline bool enabled(LogLevel level) {
  return static_cast<int>(level) >= threshold.load(std::memory_order_relaxed);
}

template <class T>
concept HasStr = requires(const T& value) {
  { value.str() } -> std::convertible_to<std::string>;
};
template <class T>
concept HasToString = requires(const T& value) {
  { to_string(value) } -> std::convertible_to<std::string>;
} || requires(const T& value) {
  { to_string(value) } -> std::convertible_to<std::string_view>;
};
template <class T>
struct IsDuration : std::false_type {};
template <class Rep, class Period>
struct IsDuration<std::chrono::duration<Rep, Period>> : std::true_type {};

}  // namespace log_detail

inline bool log_enabled(LogLevel level) { return log_detail::enabled(level); }

template <class T>
LogField field(std::string_view key, const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return {key, value};
  } else if constexpr (std::same_as<T, char>) {
    return {key, std::string(1, value)};
  } else if constexpr (std::signed_integral<T>) {
    return {key, static_cast<int64_t>(value)};
  } else if constexpr (std::unsigned_integral<T>) {
    return {key, static_cast<uint64_t>(value)};
  } else if constexpr (std::floating_point<T>) {
    return {key, static_cast<double>(value)};
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return {key, std::string_view(value)};
  } else if constexpr (std::same_as<T, Error>) {
    return {key, std::string_view(value.what)};
  } else if constexpr (log_detail::IsDuration<T>::value) {
    return {key, std::chrono::duration<double>(value).count()};
  } else if constexpr (log_detail::HasStr<T>) {
    return {key, std::string(value.str())};
  } else if constexpr (log_detail::HasToString<T>) {
    return {key, std::string(to_string(value))};
  } else {
    return {key, fmt::format("{}", value)};
  }
}

template <class... Fields>
void log_trace(std::string_view event, const Fields&... fields) {
  if (log_enabled(LogLevel::trace)) log_detail::log(LogLevel::trace, event, fields...);
}
template <class... Fields>
void log_debug(std::string_view event, const Fields&... fields) {
  if (log_enabled(LogLevel::debug)) log_detail::log(LogLevel::debug, event, fields...);
}
template <class... Fields>
void log_info(std::string_view event, const Fields&... fields) {
  if (log_enabled(LogLevel::info)) log_detail::log(LogLevel::info, event, fields...);
}
template <class... Fields>
void log_warn(std::string_view event, const Fields&... fields) {
  if (log_enabled(LogLevel::warn)) log_detail::log(LogLevel::warn, event, fields...);
}
template <class... Fields>
void log_error(std::string_view event, const Fields&... fields) {
  if (log_enabled(LogLevel::error)) log_detail::log(LogLevel::error, event, fields...);
}

}  // namespace om
