#include "base/log.h"

#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>

#include "base/strings.h"
#include "base/utf8.h"

namespace om {
namespace log_detail {

std::atomic<int> threshold{static_cast<int>(LogLevel::info)};

namespace {

// Characters that could end a line, move a terminal's cursor or turn the direction of the text.
bool dangerous(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x200E || code == 0x200F || code == 0x061C;
}

bool plain(std::string_view value) {
  if (value.empty()) return false;
  return std::ranges::all_of(value, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:@+,%#~").contains(c);
  });
}

void append_escaped(std::string& out, std::string_view value, LogFormat format) {
  while (!value.empty()) {
    const auto front = utf8_front(value);
    if (front.length == 0) {
      // A broken byte: visible as itself in text; JSON has no way to say it.
      const auto byte = static_cast<uint8_t>(value[0]);
      out += format == LogFormat::json ? "\\ufffd" : fmt::format("\\x{:02x}", byte);
      value.remove_prefix(1);
      continue;
    }
    const auto character = value.substr(0, front.length);
    value.remove_prefix(front.length);
    if (front.code == '"' || front.code == '\\') {
      out += '\\';
      out += character;
    } else if (front.code == '\n') {
      out += "\\n";
    } else if (front.code == '\r') {
      out += "\\r";
    } else if (front.code == '\t') {
      out += "\\t";
    } else if (dangerous(front.code)) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(front.code));
    } else {
      out += character;
    }
  }
}

void append_quoted(std::string& out, std::string_view value, LogFormat format) {
  const auto kept = utf8_prefix(value, kLogValueBytesMax);
  out += '"';
  append_escaped(out, kept, format);
  if (kept.size() < value.size()) out += "...";
  out += '"';
}

void append_text(std::string& out, std::string_view value, LogFormat format) {
  if (format == LogFormat::text && value.size() <= kLogValueBytesMax && plain(value)) {
    out += value;
  } else {
    append_quoted(out, value, format);
  }
}

void append_value(std::string& out, const LogValue& value, LogFormat format) {
  std::visit(
      [&](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::same_as<Held, std::string_view> || std::same_as<Held, std::string>) {
          append_text(out, held, format);
        } else if constexpr (std::same_as<Held, double>) {
          // JSON has no infinity and no NaN.
          const bool quoted = format == LogFormat::json && !std::isfinite(held);
          out += quoted ? fmt::format("\"{}\"", held) : fmt::format("{}", held);
        } else {
          out += fmt::format("{}", held);
        }
      },
      value);
}

void append_key(std::string& out, std::string_view key) {
  if (key.empty()) out += '_';
  for (char c : key) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '.' || c == '-';
    out += word ? c : '_';
  }
}

class CallbackSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit CallbackSink(LogSink sink) : sink_(std::move(sink)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::string_view text(line.data(), line.size());
    if (text.ends_with('\n')) text.remove_suffix(1);
    sink_(static_cast<LogLevel>(message.level), text);
  }
  void flush_() override {}

 private:
  LogSink sink_;
};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

// The current way out. Writers take a copy of the pointer, so a line in flight keeps its output.
struct Output {
  LogFormat format = LogFormat::text;
  spdlog::sink_ptr sink;
};

std::mutex output_mutex;

std::shared_ptr<const Output>& output_slot() {
  // Never destroyed: other globals may log while the program ends.
  static auto* slot = new std::shared_ptr<const Output>();
  return *slot;
}

std::shared_ptr<const Output> make_output(LogFormat format, spdlog::sink_ptr sink) {
  const char* pattern = format == LogFormat::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})"
                                                  : "%Y-%m-%dT%H:%M:%S.%eZ %v";
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      pattern, spdlog::pattern_time_type::utc, std::string("\n")));
  return std::make_shared<const Output>(Output{format, std::move(sink)});
}

std::shared_ptr<const Output> output() {
  const std::lock_guard lock(output_mutex);
  auto& slot = output_slot();
  if (!slot) slot = make_output(LogFormat::text, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return slot;
}

void replace_output(LogFormat format, spdlog::sink_ptr sink) {
  auto fresh = make_output(format, std::move(sink));
  const std::lock_guard lock(output_mutex);
  output_slot() = std::move(fresh);
}

}  // namespace

std::string body(LogFormat format, std::string_view event, std::span<const LogField> fields) {
  std::string out;
  out.reserve(64 + fields.size() * 24);
  if (format == LogFormat::json) {
    out += "\"event\":";
    append_quoted(out, event, format);
    for (const auto& each : fields) {
      out += ",\"";
      append_key(out, each.key);
      out += "\":";
      append_value(out, each.value, format);
    }
    return out;
  }
  out += "event=";
  append_text(out, event, format);
  for (const auto& each : fields) {
    out += ' ';
    append_key(out, each.key);
    out += '=';
    append_value(out, each.value, format);
  }
  return out;
}

void write(LogLevel level, std::string_view event, std::span<const LogField> fields) {
  const auto out = output();
  std::string line = out->format == LogFormat::json
                         ? fmt::format("\"level\":\"{}\",", to_string(level))
                         : fmt::format("level={} ", to_string(level));
  line += body(out->format, event, fields);
  const spdlog::details::log_msg message("", spdlog_level(level), line);
  try {
    out->sink->log(message);
    if (level >= LogLevel::warn) out->sink->flush();
  } catch (const spdlog::spdlog_ex&) {
    return;  // A log line that cannot be written has nowhere to be reported.
  }
}

}  // namespace log_detail

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
    case LogLevel::off:
      return "off";
  }
  return "off";
}

Result<LogLevel> parse_log_level(std::string_view text) {
  const std::string lower = to_lower(text);
  for (const auto level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn,
                           LogLevel::error, LogLevel::off}) {
    if (lower == to_string(level)) return level;
  }
  if (lower == "warning") return LogLevel::warn;
  return fail(Errc::invalid_argument,
              "unknown log level '{}' (one of trace, debug, info, warn, error, off)", text);
}

void set_log_level(LogLevel level) {
  log_detail::threshold.store(static_cast<int>(level), std::memory_order_relaxed);
}

LogLevel log_level() {
  return static_cast<LogLevel>(log_detail::threshold.load(std::memory_order_relaxed));
}

void set_log_format(LogFormat format) {
  log_detail::replace_output(format, log_detail::output()->sink);
}

void set_log_sink(LogSink sink) {
  const auto format = log_detail::output()->format;
  if (sink) {
    log_detail::replace_output(format, std::make_shared<log_detail::CallbackSink>(std::move(sink)));
  } else {
    log_detail::replace_output(format, std::make_shared<spdlog::sinks::stderr_sink_mt>());
  }
}

}  // namespace om
