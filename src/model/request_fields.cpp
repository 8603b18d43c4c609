#include "model/request_fields.h"

#include "base/duration.h"
#include "model/json_text.h"
#include "model/options.h"

namespace om::model {
namespace {

using std::chrono::nanoseconds;

std::string_view type_name(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::bool_:
      return "bool";
    case boost::json::kind::array:
      return "[]interface {}";
    case boost::json::kind::object:
      return "map[string]interface {}";
    default:
      return "<nil>";
  }
}

nanoseconds from_seconds(double seconds) {
  if (seconds < 0 || seconds >= 9.2e9) return kForever;
  return nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

}  // namespace

Result<KeepAlive> parse_keep_alive(const boost::json::value& value) {
  KeepAlive keep_alive;
  if (value.is_null()) return keep_alive;
  if (value.is_number()) {
    keep_alive.duration = from_seconds(value.to_number<double>());
    return keep_alive;
  }
  if (!value.is_string()) {
    return fail(Errc::invalid_argument, "Unsupported type: '{}'", type_name(value));
  }
  if (value.get_string().empty()) return keep_alive;
  TRY(const nanoseconds duration, parse_duration_or_seconds(value.get_string()));
  keep_alive.duration = duration < nanoseconds(0) ? kForever : duration;
  return keep_alive;
}

Result<Think> parse_think(const boost::json::value& value) {
  Think think;
  if (value.is_null()) return think;
  think.is_set = true;
  if (value.is_bool()) {
    think.enabled = value.get_bool();
    return think;
  }
  if (!value.is_string()) {
    return fail(Errc::invalid_argument,
                "think must be a boolean or string (\"high\", \"medium\", \"low\", \"max\", true, "
                "or false)");
  }
  std::string_view text = value.get_string();
  if (text == "true" || text == "false") {
    think.enabled = text == "true";
    return think;
  }
  if (text != "low" && text != "medium" && text != "high" && text != "max") {
    return fail(Errc::invalid_argument,
                "invalid think value: {} (must be \"high\", \"medium\", \"low\", \"max\", true, or "
                "false)",
                go_quote(text));
  }
  think.enabled = true;
  think.level = text;
  return think;
}

Result<Format> parse_format(const boost::json::value& value) {
  Format format;
  if (value.is_null()) return format;
  if (value.is_object()) {
    format.kind = Format::Kind::schema;
    format.schema = write_json(value);
    return format;
  }
  if (value.is_string() && value.get_string().empty()) return format;
  if (value.is_string() && value.get_string() == "json") {
    format.kind = Format::Kind::json;
    return format;
  }
  return fail(Errc::invalid_argument,
              "invalid format: {}; expected \"json\" or a valid JSON Schema object",
              go_quote(write_json(value)));
}

}  // namespace om::model
