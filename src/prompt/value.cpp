#include "prompt/value.h"

#include <fmt/format.h>

#include <cmath>

namespace om::prompt {

namespace {

void append_number(std::string& out, double number, bool as_json) {
  if (!std::isfinite(number)) {
    out += as_json ? "null" : (std::isnan(number) ? "NaN" : (number > 0 ? "+Inf" : "-Inf"));
    return;
  }
  if (number == std::trunc(number) && std::fabs(number) < 1e21) {
    out += fmt::format("{:.0f}", number);
    return;
  }
  out += fmt::format("{}", number);
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

std::string json_quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

Value Value::list(std::vector<Value> items, std::string text) {
  Value value;
  value.data_ = std::make_shared<const List>(std::move(items), std::move(text), false);
  return value;
}

Value Value::part(const List& list, size_t from, size_t to) {
  Value value;
  value.data_ = std::make_shared<const List>(list, from, to);
  return value;
}

Value Value::one_or_more(std::vector<Value> items) {
  Value value;
  value.data_ = std::make_shared<const List>(std::move(items), std::string(), true);
  return value;
}

Value Value::map(Fields fields, std::string text) {
  Value value;
  value.data_ = std::make_shared<const Map>(Map{std::move(fields), std::move(text)});
  return value;
}

Value Value::from_json(const boost::json::value& json, int depth_max) {
  if (depth_max <= 0) return {};
  switch (json.kind()) {
    case boost::json::kind::null:
      return {};
    case boost::json::kind::bool_:
      return Value(json.get_bool());
    case boost::json::kind::int64:
      return Value(json.get_int64());
    case boost::json::kind::uint64:
      return Value(static_cast<double>(json.get_uint64()));
    case boost::json::kind::double_:
      return Value(json.get_double());
    case boost::json::kind::string:
      return Value(std::string(json.get_string()));
    case boost::json::kind::array: {
      std::vector<Value> items;
      items.reserve(json.get_array().size());
      for (const auto& item : json.get_array()) items.push_back(from_json(item, depth_max - 1));
      return list(std::move(items));
    }
    case boost::json::kind::object: {
      Fields fields;
      fields.reserve(json.get_object().size());
      for (const auto& field : json.get_object()) {
        fields.emplace_back(std::string(field.key()), from_json(field.value(), depth_max - 1));
      }
      return map(std::move(fields));
    }
  }
  return {};
}

const std::string* Value::as_string() const {
  const auto* text = std::get_if<std::shared_ptr<const std::string>>(&data_);
  return text ? text->get() : nullptr;
}

const Value::List* Value::as_list() const {
  const auto* list = std::get_if<std::shared_ptr<const List>>(&data_);
  return list ? list->get() : nullptr;
}

const Value::Map* Value::as_map() const {
  const auto* map = std::get_if<std::shared_ptr<const Map>>(&data_);
  return map ? map->get() : nullptr;
}

const Value* Value::Map::find(std::string_view key) const {
  for (const auto& [name, value] : fields) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool Value::truthy() const {
  if (const auto* value = as_bool()) return *value;
  if (const auto* value = as_int()) return *value != 0;
  if (const auto* value = as_number()) return *value != 0;
  if (const auto* value = as_string()) return !value->empty();
  if (const auto* value = as_list()) return !value->items.empty();
  if (const auto* value = as_map()) return !value->fields.empty();
  return false;
}

std::string Value::print() const {
  std::string out;
  print_to(out);
  return out;
}

void Value::print_to(std::string& out) const {
  if (const auto* flag = as_bool()) {
    out += *flag ? "true" : "false";
  } else if (const auto* whole = as_int()) {
    out += fmt::format("{}", *whole);
  } else if (const auto* number = as_number()) {
    append_number(out, *number, false);
  } else if (const auto* text = as_string()) {
    out += *text;
  } else if (const auto* list = as_list()) {
    if (!list->text.empty()) {
      out += list->text;
      return;
    }
    if (const Value* single = list->single()) return single->print_to(out);
    out += '[';
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out += ' ';
      list->items[i].print_to(out);
    }
    out += ']';
  } else if (const auto* map = as_map()) {
    if (!map->text.empty()) {
      out += map->text;
      return;
    }
    out += "map[";
    for (size_t i = 0; i < map->fields.size(); ++i) {
      if (i > 0) out += ' ';
      out += map->fields[i].first;
      out += ':';
      map->fields[i].second.print_to(out);
    }
    out += ']';
  }
}

std::string Value::json() const {
  std::string out;
  json_to(out);
  return out;
}

void Value::json_to(std::string& out) const {
  if (is_null()) {
    out += "null";
  } else if (const auto* number = as_number()) {
    append_number(out, *number, true);
  } else if (const auto* text = as_string()) {
    append_json_string(out, *text);
  } else if (const auto* list = as_list()) {
    if (!list->text.empty()) {
      out += list->text;
      return;
    }
    if (const Value* single = list->single()) return single->json_to(out);
    out += '[';
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out += ',';
      list->items[i].json_to(out);
    }
    out += ']';
  } else if (const auto* map = as_map()) {
    if (!map->text.empty()) {
      out += map->text;
      return;
    }
    out += '{';
    for (size_t i = 0; i < map->fields.size(); ++i) {
      if (i > 0) out += ',';
      append_json_string(out, map->fields[i].first);
      out += ':';
      map->fields[i].second.json_to(out);
    }
    out += '}';
  } else {
    print_to(out);
  }
}

std::string_view Value::type_name() const {
  if (as_bool()) return "bool";
  if (as_int()) return "int";
  if (as_number()) return "float64";
  if (as_string()) return "string";
  if (as_list()) return "[]interface {}";
  if (as_map()) return "map[string]interface {}";
  return "<nil>";
}

}  // namespace om::prompt
