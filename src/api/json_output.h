// Writes response JSON without building documents: Go's escaping, times and durations.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/task.h"

namespace om::api {

// Appends one JSON object or nested values to a string that the caller keeps and clears, so that a
// stream's chunks reuse its memory. Commas are set by the writer; begin and end must pair up.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  // `name` must need no escaping.
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool flag);
  JsonWriter& value(int64_t number);
  JsonWriter& value(int number) { return value(static_cast<int64_t>(number)); }
  JsonWriter& value(uint64_t number);
  JsonWriter& value(double number);
  JsonWriter& value(float number);  // With the fewest digits that identify it.
  JsonWriter& value(const boost::json::value& document);
  JsonWriter& value(io::WallTime time);  // As append_time() writes it, quoted.
  JsonWriter& null();
  JsonWriter& raw(std::string_view json);  // JSON text as it is.

  template <class T>
  JsonWriter& member(std::string_view name, const T& content) {
    key(name);
    return value(content);
  }
  // Leaves empty texts and zeros out, as Go's omitempty.
  JsonWriter& member_if(std::string_view name, std::string_view text);
  JsonWriter& member_if(std::string_view name, int64_t number);

 private:
  void separate();
  std::string& out_;
  bool comma_ = false;  // The innermost open object or array is not empty.
};

// RFC 3339 in UTC with as many digits of the second as needed, as Go's RFC3339Nano.
std::string format_time(io::WallTime time);
void append_time(std::string& out, io::WallTime time);

}  // namespace om::api
