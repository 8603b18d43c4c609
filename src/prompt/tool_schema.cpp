#include "prompt/tool_schema.h"

#include <array>

#include "base/strings.h"
#include "prompt/llama_chat.h"

namespace om::prompt {
namespace {

namespace json = boost::json;

bool converts(const json::value& schema) {
  return llama::schema_grammar(json::serialize(schema)).has_value();
}

bool is_usable(const json::value& schema, SchemaBudget& budget) {
  return budget.take(schema) && converts(schema);
}

// JSON's name of a type, of what other languages call it too; empty: there is none.
std::string_view type_name(std::string_view told) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kTypes = {{
      {"string", "string"},
      {"str", "string"},
      {"integer", "integer"},
      {"int", "integer"},
      {"number", "number"},
      {"float", "number"},
      {"double", "number"},
      {"boolean", "boolean"},
      {"bool", "boolean"},
      {"object", "object"},
      {"dict", "object"},
      {"array", "array"},
      {"list", "array"},
      {"null", "null"},
  }};
  const std::string wanted = to_lower(told);
  const auto* found = std::ranges::find(kTypes, wanted, &decltype(kTypes)::value_type::first);
  return found == kTypes.end() ? std::string_view() : found->second;
}

class Mender {
 public:
  explicit Mender(const json::value& root) : root_(root) {}

  json::value mended(const json::value& schema) const {
    const auto* object = schema.if_object();
    if (!object) return json::object();  // true, or nothing that is known.
    json::object kept;
    for (const auto& [name, value] : *object) {
      if (auto better = member(name, value)) kept[name] = std::move(*better);
    }
    return kept;
  }

 private:
  using Kept = std::optional<json::value>;

  Kept member(std::string_view name, const json::value& value) const {
    if (name == "const" || name == "default") return value;
    if (value.is_null()) return std::nullopt;
    if (name == "type") return type(value);
    if (name == "$ref") return leads_somewhere(value) ? Kept(value) : std::nullopt;
    if (name == "enum") return is_list(value) ? Kept(value) : std::nullopt;
    if (name == "anyOf" || name == "oneOf" || name == "allOf") {
      return is_list(value) ? Kept(each(value)) : std::nullopt;
    }
    if (name == "items" || name == "prefixItems") {
      return value.is_array() ? Kept(each(value)) : Kept(mended(value));
    }
    if (name == "additionalProperties") return value.is_bool() ? Kept(value) : Kept(mended(value));
    if (name == "properties" || name == "$defs" || name == "definitions") return named(value);
    return limit(name, value);
  }

  static bool is_list(const json::value& value) {
    return value.is_array() && !value.get_array().empty();
  }

  // What narrows a value down: kept where the library can read it.
  static Kept limit(std::string_view name, const json::value& value) {
    if (name == "pattern") {
      const json::value alone = {{"type", "string"}, {"pattern", value}};
      return check_schema(alone) && converts(alone) ? Kept(value) : std::nullopt;
    }
    if (name == "format") return value.is_string() ? Kept(value) : std::nullopt;
    for (const std::string_view count : {"minLength", "maxLength", "minItems", "maxItems"}) {
      if (name != count) continue;
      const int64_t most = count.starts_with("max") ? INT32_MAX : kRepetitionsMax;
      const bool is_count = value.is_int64() && value.get_int64() >= 0;
      return is_count && value.get_int64() <= most ? Kept(value) : std::nullopt;
    }
    for (const char* bound : {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}) {
      if (name == bound && !value.is_number()) return std::nullopt;
    }
    return value;
  }

  static Kept type(const json::value& value) {
    if (const auto* text = value.if_string()) {
      const std::string_view known = type_name(*text);
      return known.empty() ? std::nullopt : Kept(json::string(known));
    }
    json::array known;
    if (const auto* several = value.if_array()) {
      for (const json::value& one : *several) {
        const auto name = one.is_string() ? type(one) : std::nullopt;
        if (name && std::ranges::find(known, *name) == known.end()) known.push_back(*name);
      }
    }
    return known.empty() ? std::nullopt : Kept(std::move(known));
  }

  json::array each(const json::value& schemas) const {
    json::array out;
    for (const json::value& schema : schemas.get_array()) out.push_back(mended(schema));
    return out;
  }

  Kept named(const json::value& schemas) const {
    if (!schemas.is_object()) return std::nullopt;
    json::object out;
    for (const auto& [name, schema] : schemas.get_object()) out[name] = mended(schema);
    return out;
  }

  bool leads_somewhere(const json::value& reference) const {
    const auto found = follow_reference(root_, reference);
    return found && *found && (*found)->is_object();
  }

  const json::value& root_;
};

}  // namespace

json::value usable_parameters(const json::value& parameters, SchemaBudget& budget) {
  if (is_usable(parameters, budget)) return parameters;
  json::value mended = without_single_all_of(Mender(parameters).mended(parameters));
  json::object& object = mended.get_object();
  const bool says_its_form = object.contains("$ref") || object.contains("anyOf") ||
                             object.contains("oneOf") || object.contains("allOf");
  if (!says_its_form) object["type"] = "object";
  return is_usable(mended, budget) ? mended : json::value{{"type", "object"}};
}

}  // namespace om::prompt
