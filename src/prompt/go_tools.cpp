#include "prompt/go_tools.h"

#include <algorithm>

namespace om::prompt {
namespace {

namespace json = boost::json;

const json::value* find(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found && !found->is_null() ? found : nullptr;
}

// Empty where there is no text.
std::string_view text_of(const json::object& object, std::string_view key) {
  const json::value* found = find(object, key);
  return found && found->is_string() ? std::string_view(found->get_string()) : "";
}

void copy_list(const json::object& from, std::string_view key, json::object& to) {
  const json::value* found = find(from, key);
  if (found && found->is_array() && !found->get_array().empty()) to[key] = *found;
}

std::vector<const json::key_value_pair*> in_order(const json::object& object) {
  std::vector<const json::key_value_pair*> members;
  for (const auto& member : object) members.push_back(&member);
  std::ranges::sort(members, {}, [](const auto* member) { return member->key(); });
  return members;
}

// As Go writes its maps, at every level.
json::value with_sorted_keys(const json::value& value) {  // NOLINT(misc-no-recursion)
  if (const json::array* list = value.if_array()) {
    json::array sorted;
    for (const json::value& item : *list) sorted.push_back(with_sorted_keys(item));
    return sorted;
  }
  const json::object* object = value.if_object();
  if (!object) return value;
  json::object sorted;
  for (const auto* member : in_order(*object)) {
    sorted[member->key()] = with_sorted_keys(member->value());
  }
  return sorted;
}

void copy_sorted(const json::object& from, std::string_view key, json::object& to) {
  if (const json::value* found = find(from, key)) to[key] = with_sorted_keys(*found);
}

json::object property_as_written(const json::object& property);  // NOLINT(misc-no-recursion)

// NOLINTNEXTLINE(misc-no-recursion): what a request nests is bounded by its parser.
json::object properties_as_written(const json::object& properties, bool sorted) {
  json::object written;
  const auto add = [&written](const json::key_value_pair& member) {  // NOLINT(misc-no-recursion)
    const json::object* property = member.value().if_object();
    if (property) written[member.key()] = property_as_written(*property);
  };
  if (sorted) {
    for (const auto* member : in_order(properties)) add(*member);
  } else {
    for (const auto& member : properties) add(member);
  }
  return written;
}

json::object property_as_written(const json::object& property) {  // NOLINT(misc-no-recursion)
  json::object written;
  if (const json::value* choices = find(property, "anyOf"); choices && choices->is_array()) {
    json::array list;
    for (const json::value& choice : choices->get_array()) {
      if (choice.is_object()) list.push_back(property_as_written(choice.get_object()));
    }
    if (!list.empty()) written["anyOf"] = std::move(list);
  }
  if (const json::value* type = find(property, "type")) {
    const json::array* several = type->if_array();
    written["type"] = several && several->size() == 1 ? several->front() : *type;
  }
  copy_sorted(property, "items", written);
  if (const auto text = text_of(property, "description"); !text.empty()) {
    written["description"] = text;
  }
  copy_list(property, "enum", written);
  if (const json::value* inner = find(property, "properties"); inner && inner->is_object()) {
    written["properties"] = properties_as_written(inner->get_object(), false);
  }
  return written;
}

json::object parameters_as_written(const json::object& parameters) {
  json::object written{{"type", text_of(parameters, "type")}};
  copy_sorted(parameters, "$defs", written);
  copy_sorted(parameters, "items", written);
  copy_list(parameters, "required", written);
  const json::value* properties = find(parameters, "properties");
  written["properties"] = nullptr;
  if (properties && properties->is_object()) {
    written["properties"] = properties_as_written(properties->get_object(), true);
  }
  return written;
}

// The value at `key`, under the name that Go code gives it, with its JSON as text.
void add_field(Value::Fields& fields, const json::object& object, std::string_view key,
               std::string name) {
  const json::value* found = find(object, key);
  if (!found) return;
  Value value = Value::from_json(*found);
  if (const auto* map = value.as_map()) value = Value::map(map->fields, value.json());
  fields.emplace_back(std::move(name), std::move(value));
}

Value property_value(const json::object& written);  // NOLINT(misc-no-recursion)

Value properties_value(const json::object& written) {  // NOLINT(misc-no-recursion)
  Value::Fields named;
  for (const auto& property : written) {
    named.emplace_back(std::string(property.key()), property_value(property.value().get_object()));
  }
  return Value::map(std::move(named), Value::from_json(written).json());
}

Value property_value(const json::object& written) {  // NOLINT(misc-no-recursion)
  Value::Fields fields;
  if (const json::value* choices = find(written, "anyOf")) {
    std::vector<Value> items;
    for (const json::value& choice : choices->get_array()) {
      items.push_back(property_value(choice.get_object()));
    }
    fields.emplace_back("AnyOf", Value::list(std::move(items)));
  }
  if (const json::value* type = find(written, "type")) {
    const Value value = Value::from_json(*type);
    const auto* several = value.as_list();
    fields.emplace_back("Type", Value::one_or_more(several ? *several->kept : std::vector{value}));
  }
  add_field(fields, written, "description", "Description");
  add_field(fields, written, "enum", "Enum");
  add_field(fields, written, "items", "Items");
  if (const json::value* inner = find(written, "properties")) {
    fields.emplace_back("Properties", properties_value(inner->get_object()));
  }
  return Value::map(std::move(fields), Value::from_json(written).json());
}

Value parameters_value(const json::object& written) {
  Value::Fields fields;
  add_field(fields, written, "type", "Type");
  add_field(fields, written, "required", "Required");
  if (const json::value* properties = find(written, "properties")) {
    fields.emplace_back("Properties", properties_value(properties->get_object()));
  }
  return Value::map(std::move(fields), Value::from_json(written).json());
}

Value tool_value(const json::value& tool, const ToolFunction& function) {
  const json::object* object = tool.if_object();
  const json::value* given = find(*function.object, "parameters");
  const json::object parameters =
      parameters_as_written(given && given->is_object() ? given->get_object() : json::object());
  const json::object inner{{"name", function.name},
                           {"description", text_of(*function.object, "description")},
                           {"parameters", parameters}};
  json::object outer{{"type", text_of(*object, "type")}};
  copy_sorted(*object, "items", outer);
  outer["function"] = inner;

  Value::Fields fields{
      {"Name", Value(std::string(function.name))},
      {"Description", Value(std::string(text_of(*function.object, "description")))},
      {"Parameters", parameters_value(parameters)}};
  Value::Fields whole{{"Type", Value(std::string(text_of(*object, "type")))},
                      {"Function", Value::map(std::move(fields), Value::from_json(inner).json())}};
  return Value::map(std::move(whole), Value::from_json(outer).json());
}

}  // namespace

Result<ToolFunction> function_of(const json::value& tool) {
  const json::object* object = tool.if_object();
  const json::value* found = object ? find(*object, "function") : nullptr;
  ToolFunction function{.object = found ? found->if_object() : nullptr};
  if (function.object) function.name = text_of(*function.object, "name");
  if (function.name.empty()) {
    return fail(Errc::invalid_argument, "a tool must have a function with a name");
  }
  return function;
}

Result<Value> tools_value(const std::vector<json::value>& tools) {
  std::vector<Value> items;
  std::string text = "[";
  for (const json::value& tool : tools) {
    TRY(const ToolFunction function, function_of(tool));
    Value item = tool_value(tool, function);
    if (!items.empty()) text += ',';
    text += item.json();
    items.push_back(std::move(item));
  }
  return Value::list(std::move(items), tools.empty() ? std::string() : text + "]");
}

}  // namespace om::prompt
