#include "api/openai_fields.h"

#include <algorithm>
#include <cmath>

namespace om::api {

namespace json = boost::json;

std::string_view kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

std::optional<int64_t> as_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (!value.is_double()) return std::nullopt;
  double number = value.get_double();
  constexpr double kExactMax = 9007199254740992.0;  // 2^53: beyond it doubles skip integers.
  if (std::trunc(number) != number || std::abs(number) > kExactMax) return std::nullopt;
  return static_cast<int64_t>(number);
}

Result<Fields> Fields::of(const json::value& value, std::string path) {
  if (!value.is_object()) {
    return fail(Errc::invalid_argument, "'{}' must be an object, not {}", path, kind_name(value));
  }
  return Fields(value.get_object(), std::move(path));
}

const json::value* Fields::find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

bool Fields::has_only(std::initializer_list<std::string_view> names) const {
  return std::ranges::all_of(*object_, [&](const json::key_value_pair& member) {
    return member.value().is_null() ||
           std::ranges::find(names, std::string_view(member.key())) != names.end();
  });
}

std::string Fields::where(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

std::unexpected<Error> Fields::wrong_type(std::string_view name, std::string_view expected,
                                          const json::value& value) const {
  return fail(Errc::invalid_argument, "'{}' must be {}, not {}", where(name), expected,
              kind_name(value));
}

Result<std::optional<std::string>> Fields::string(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) return wrong_type(name, "a string", *value);
  return std::string(value->get_string());
}

Result<std::optional<double>> Fields::number(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) return wrong_type(name, "a number", *value);
  return value->to_number<double>();
}

Result<std::optional<int64_t>> Fields::integer(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  std::optional<int64_t> number = as_integer(*value);
  if (!number && value->is_number()) {
    return fail(Errc::invalid_argument, "'{}' must be a whole number", where(name));
  }
  if (!number) return wrong_type(name, "a whole number", *value);
  return number;
}

Result<std::optional<bool>> Fields::boolean(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_bool()) return wrong_type(name, "a boolean", *value);
  return value->get_bool();
}

Result<std::optional<Fields>> Fields::object(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_object()) return wrong_type(name, "an object", *value);
  return Fields(value->get_object(), where(name));
}

Result<const json::array*> Fields::array(std::string_view name) const {
  const json::value* value = find(name);
  if (!value) return nullptr;
  if (!value->is_array()) return wrong_type(name, "a list", *value);
  return &value->get_array();
}

Result<std::string> Fields::required_string(std::string_view name) const {
  TRY(auto text, string(name));
  if (!text) return fail(Errc::invalid_argument, "'{}' is required", where(name));
  return std::move(*text);
}

Result<std::vector<std::string>> Fields::strings(std::string_view name) const {
  const json::value* value = find(name);
  std::vector<std::string> texts;
  if (!value) return texts;
  if (value->is_string()) {
    texts.emplace_back(value->get_string());
    return texts;
  }
  if (!value->is_array()) return wrong_type(name, "a string or a list of strings", *value);
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) return wrong_type(name, "a string or a list of strings", *value);
    texts.emplace_back(item.get_string());
  }
  return texts;
}

Result<void> Fields::copy_number(std::string_view name, json::object& options,
                                 std::string_view option) const {
  TRY(auto value, number(name));
  if (value) options[option] = *value;
  return {};
}

Result<void> Fields::copy_integer(std::string_view name, json::object& options,
                                  std::string_view option) const {
  TRY(auto value, integer(name));
  if (value) options[option] = *value;
  return {};
}

}  // namespace om::api
