#include "http/event_stream.h"

#include "base/strings.h"

namespace om::http {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Result<bool> SseReader::take_line(std::string_view line, SseEvent& event) {
  if (at_start_ && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
  at_start_ = false;
  if (line.empty()) {
    const bool whole = has_data_;
    if (whole) {
      event.data.swap(data_);
      event.event.swap(event_);
      event.id = id_;
    }
    data_.clear();
    event_.clear();
    has_data_ = false;
    return whole;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value;
  if (colon != std::string_view::npos) value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (data_.size() + value.size() >= kEventBytesMax) {
      return fail(Errc::overloaded, "an event of more than {} bytes", kEventBytesMax);
    }
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "event") {
    event_ = value;
  } else if (field == "id" && value.find('\0') == std::string_view::npos) {
    id_ = value;
  }  // Others, and comments (an empty field name), are ignored.
  return false;
}

Result<bool> SseReader::next(std::string_view& input, SseEvent& event) {
  while (!input.empty()) {
    if (skip_line_feed_) {
      skip_line_feed_ = false;
      if (input.front() == '\n') input.remove_prefix(1);
      continue;
    }
    size_t end = input.find('\n');
    if (const size_t cr = input.substr(0, end).find('\r'); cr != std::string_view::npos) end = cr;
    const std::string_view part = input.substr(0, end);
    if (partial_.size() + part.size() > kEventBytesMax) {
      return fail(Errc::overloaded, "a line of more than {} bytes in an event stream",
                  kEventBytesMax);
    }
    if (end == std::string_view::npos) {
      partial_ += part;
      input = {};
      return false;
    }
    skip_line_feed_ = input[end] == '\r';
    input.remove_prefix(end + 1);
    std::string_view line = part;
    if (!partial_.empty()) line = partial_ += part;
    auto whole = take_line(line, event);
    partial_.clear();
    if (!whole || *whole) return whole;
  }
  return false;
}

Result<bool> NdjsonReader::next(std::string_view& input, std::string_view& line) {
  if (given_) partial_.clear();
  given_ = false;
  while (!input.empty()) {
    const size_t end = input.find('\n');
    const std::string_view part = input.substr(0, end);
    if (partial_.size() + part.size() > line_bytes_max_) {
      return fail(Errc::overloaded, "a JSON line of more than {} bytes", line_bytes_max_);
    }
    if (end == std::string_view::npos) {
      partial_ += part;
      input = {};
      return false;
    }
    input.remove_prefix(end + 1);
    line = part;
    if (!partial_.empty()) {
      line = partial_ += part;
      given_ = true;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!trim(line).empty()) return true;
    partial_.clear();
    given_ = false;
  }
  return false;
}

std::string_view NdjsonReader::rest() const { return given_ ? std::string_view{} : trim(partial_); }

}  // namespace om::http
