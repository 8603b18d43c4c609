#include "api/json_input.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/digest.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "model/json_text.h"

namespace om::api {
namespace {

namespace json = boost::json;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// A character as Go prints it in syntax errors.
std::string quoted(std::string_view text) {
  const Utf8Character character = utf8_front(text);
  if (text.front() == '\'') return "'\\''";
  if (text.front() == '"') return "'\"'";
  if (text.front() == '\\') return "'\\\\'";
  if (text.front() == '\n') return "'\\n'";
  if (text.front() == '\t') return "'\\t'";
  if (text.front() == '\r') return "'\\r'";
  if (character.length == 0 || character.code < 0x20) {
    return fmt::format("'\\x{:02x}'", static_cast<unsigned char>(text.front()));
  }
  return fmt::format("'{}'", text.substr(0, character.length));
}

std::unexpected<Error> syntax_error(std::string_view text, size_t at,
                                    boost::system::error_code code) {
  if (code == json::error::too_deep) {
    return fail(Errc::invalid_argument, "exceeded max depth of {}", kJsonDepthMax);
  }
  if (code == json::error::incomplete || at >= text.size()) {
    return fail(Errc::invalid_argument, "unexpected EOF");
  }
  std::string_view where = "in the request body";
  if (at == 0 || text.substr(0, at).find_first_not_of(" \t\r\n") == text.npos) {
    where = "looking for beginning of value";
  }
  return fail(Errc::invalid_argument, "invalid character {} {} (byte {}: {})",
              quoted(text.substr(at)), where, at, code.message());
}

// What Go calls a value that does not fit.
std::string describe(const json::value& value) {
  switch (value.kind()) {
    case json::kind::bool_:
      return "bool";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
    case json::kind::null:
      return "null";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      break;
  }
  return "number";
}

// The value of the escape "\uXXXX" that the text begins with.
std::optional<unsigned> escaped_unit(std::string_view text) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return std::nullopt;
  unsigned unit = 0;
  const char* end = text.data() + 6;
  if (std::from_chars(text.data() + 2, end, unit, 16).ptr != end) return std::nullopt;
  return unit;
}

// Halves of surrogate pairs become U+FFFD, as Go's do: JavaScript cuts texts in the middle of a
// pair, and its JSON.stringify() sends such a half as it is.
std::string without_lone_surrogates(std::string_view text) {
  std::string whole;
  whole.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t length = text[i] == '\\' ? std::min<size_t>(2, text.size() - i) : 1;
    const auto unit = escaped_unit(text.substr(i));
    if (unit && *unit >= 0xD800 && *unit < 0xE000) {
      const auto next = escaped_unit(text.substr(i + 6));
      const bool is_pair = *unit < 0xDC00 && next && *next >= 0xDC00 && *next < 0xE000;
      if (!is_pair) {
        whole += "\\ufffd";
        i += 6;
        continue;
      }
      length = 12;
    }
    whole += text.substr(i, length);
    i += length;
  }
  return whole;
}

// A number that is too large for a double is parsed as infinite. The depth is bounded.
bool has_infinite(const json::value& value) {  // NOLINT(misc-no-recursion)
  switch (value.kind()) {
    case json::kind::double_:
      return !std::isfinite(value.get_double());
    case json::kind::array:
      return std::ranges::any_of(value.get_array(), has_infinite);
    case json::kind::object:
      return std::ranges::any_of(value.get_object(),
                                 [](const auto& member) { return has_infinite(member.value()); });
    default:
      return false;
  }
}

Result<json::value> parse_first(std::string_view text, json::storage_ptr storage,
                                boost::system::error_code& code) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  unsigned char working_memory[4096];  // The parser takes more when this is not enough.
  json::parser parser({}, options, working_memory, sizeof(working_memory));
  parser.reset(std::move(storage));
  // Not write(): that refuses what follows the value.
  const size_t used = parser.write_some(text.data(), text.size(), code);
  if (code) return syntax_error(text, used, code);
  json::value value = parser.release();
  if (has_infinite(value)) {
    return fail(Errc::invalid_argument,
                "json: cannot unmarshal number into Go value of type float64: it is too large");
  }
  return value;
}

std::optional<int64_t> whole_number(const json::value& value) {
  if (const int64_t* number = value.if_int64()) return *number;
  return std::nullopt;
}

}  // namespace

Result<json::value> parse_json(std::string_view text, json::storage_ptr storage) {
  size_t start = 0;
  while (start < text.size() && is_blank(text[start])) start++;
  if (start == text.size()) return fail(Errc::invalid_argument, "missing request body");

  boost::system::error_code code;
  auto value = parse_first(text, storage, code);
  if (!code) return value;
  // What Go mends is mended only where parsing fails: nearly all bodies are in order.
  const std::string repaired =
      without_lone_surrogates(utf8_valid(text) ? std::string(text) : utf8_repaired(text));
  if (repaired == text) return value;
  return parse_first(repaired, std::move(storage), code);
}

io::Task<Result<std::string>> read_body(Context& context, uint64_t size_max) {
  Result<std::string> body = co_await context.body.read_all(size_max);
  if (body) co_return body;
  switch (body.error().code) {
    case Errc::overloaded:
      context.error_status = 413;
      co_return fail(Errc::overloaded, "the request body is larger than {} bytes", size_max);
    case Errc::deadline_exceeded:  // Of the client, which stopped sending.
      context.error_status = 408;
      break;
    case Errc::unsupported:  // Its Content-Encoding.
      context.error_status = 415;
      break;
    default:
      break;
  }
  co_return body;
}

io::Task<Result<json::value>> read_json(Context& context, uint64_t size_max) {
  CO_TRY(const std::string body, co_await read_body(context, size_max));
  if (context.pick_up) context.body_fingerprint = Digest::of(body).hex();
  context.arena = arenas().get();
  co_return parse_json(body, context.arena->json_storage());
}

ObjectReader::ObjectReader(std::string_view type_name, const json::value& value, std::string path)
    : type_name_(type_name), path_(std::move(path)), object_(value.if_object()) {
  if (object_ || value.is_null()) return;
  if (path_.empty()) {
    error_ = Error{Errc::invalid_argument,
                   fmt::format("json: cannot unmarshal {} into Go value of type api.{}",
                               describe(value), type_name_)};
  } else {
    error_ =
        Error{Errc::invalid_argument,
              fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type object",
                          describe(value), type_name_, path_)};
  }
}

const json::value* ObjectReader::find(std::string_view name) const {
  if (!object_) return nullptr;
  const json::value* found = nullptr;
  for (const auto& member : *object_) {
    if (iequals(member.key(), name) && !member.value().is_null()) found = &member.value();
  }
  return found;
}

std::string ObjectReader::path(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void ObjectReader::refuse(std::string_view name, const json::value& value,
                          std::string_view go_type) {
  if (error_) return;
  std::string what = describe(value);
  // Go tells the number when a whole one was wanted.
  if (value.is_number() && go_type.starts_with("int")) what += " " + model::write_json(value);
  error_ = Error{Errc::invalid_argument,
                 fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                             what, type_name_, path(name), go_type)};
}

void ObjectReader::check(Result<void> result) {
  if (!result && !error_) error_ = std::move(result).error();
}

void ObjectReader::read(std::string_view name, std::string& target) {
  const json::value* value = find(name);
  if (!value) return;
  if (!value->is_string()) return refuse(name, *value, "string");
  target = value->get_string();
}

void ObjectReader::read(std::string_view name, std::optional<std::string>& target) {
  if (!find(name)) return;
  std::string text;
  read(name, text);
  target = std::move(text);
}

void ObjectReader::read(std::string_view name, bool& target) {
  const json::value* value = find(name);
  if (!value) return;
  if (!value->is_bool()) return refuse(name, *value, "bool");
  target = value->get_bool();
}

void ObjectReader::read(std::string_view name, std::optional<bool>& target) {
  if (!find(name)) return;
  bool flag = false;
  read(name, flag);
  target = flag;
}

void ObjectReader::read(std::string_view name, int& target) {
  const json::value* value = find(name);
  if (!value) return;
  const std::optional<int64_t> number = whole_number(*value);
  if (!number || *number < std::numeric_limits<int>::min() ||
      *number > std::numeric_limits<int>::max()) {
    return refuse(name, *value, "int");
  }
  target = static_cast<int>(*number);
}

void ObjectReader::read(std::string_view name, json::object& target) {
  const json::value* value = find(name);
  if (!value) return;
  if (!value->is_object()) return refuse(name, *value, "map[string]interface {}");
  target = value->get_object();
}

const json::array* ObjectReader::array(std::string_view name, std::string_view go_type) {
  const json::value* value = find(name);
  if (!value) return nullptr;
  if (!value->is_array()) {
    refuse(name, *value, go_type);
    return nullptr;
  }
  return &value->get_array();
}

void ObjectReader::read(std::string_view name, std::vector<std::string>& target) {
  const json::array* items = array(name, "[]string");
  if (!items) return;
  target.clear();
  for (const json::value& item : *items) {
    if (!item.is_string()) return refuse(name, item, "string");
    target.emplace_back(item.get_string());
  }
}

void ObjectReader::read(std::string_view name, std::vector<int32_t>& target) {
  const json::array* items = array(name, "[]int");
  if (!items) return;
  target.clear();
  for (const json::value& item : *items) {
    const std::optional<int64_t> number = whole_number(item);
    if (!number || *number < std::numeric_limits<int32_t>::min() ||
        *number > std::numeric_limits<int32_t>::max()) {
      return refuse(name, item, "int");
    }
    target.push_back(static_cast<int32_t>(*number));
  }
}

Result<void> ObjectReader::done() {
  if (error_) return fail(std::move(*error_));
  return {};
}

}  // namespace om::api
