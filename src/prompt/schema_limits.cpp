#include "prompt/schema_limits.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace om::prompt {
namespace {

namespace json = boost::json;

// In one request:
constexpr size_t kPartsMax = 100'000;     // JSON values, looked at to find how deep it goes.
constexpr size_t kVisitsMax = 5'000;      // The converter makes rules at each.
constexpr size_t kNamesMax = 1 << 20;     // Bytes: a rule is named after the way to it.
constexpr size_t kConstantsMax = 20'000;  // Values of enums.
constexpr size_t kCopiesMax = 2'000'000;  // Rules: at each pattern it copies all that it has.
constexpr size_t kOptionalMax = 300;      // In one object; it makes k * k / 2 rules of k of them.
constexpr size_t kOptionalWorkMax = kOptionalMax * kOptionalMax * kOptionalMax;
// How deep the converter may recurse: into each target of a reference once, and there as deep as it
// is nested.
constexpr size_t kDepthMax = 2'000;
constexpr size_t kTypesMax = 7;             // That JSON has.
constexpr size_t kPatternBytesMax = 4'000;  // The work is that squared.

bool is_refused_minimum(std::string_view name, const json::value& value) {
  if (name != "minLength" && name != "minItems") return false;
  return value.is_uint64() || (value.is_int64() && value.get_int64() > kRepetitionsMax);
}

// Goes where the converter goes, each time that it does.
class Walk {
 public:
  Walk(const json::value& root, SchemaWork& work) : root_(root), work_(work) {}

  Result<void> run() {
    TRY(depth_, nesting(root_));
    return visit(root_, 0);
  }

 private:
  // Counts what there may be `most` of.
  static Result<void> count(size_t& counted, size_t most, size_t added = 1) {
    counted += added;
    if (counted <= most) return {};
    return fail(Errc::invalid_argument,
                "JSON schema: it is too large, with each part counted once for every way that "
                "leads to it");
  }

  Result<size_t> nesting(const json::value& value) {
    TRY_VOID(count(work_.parts, kPartsMax));
    size_t below = 0;
    if (const auto* array = value.if_array()) {
      for (const json::value& one : *array) {
        TRY(const size_t depth, nesting(one));
        below = std::max(below, depth);
      }
    } else if (const auto* object = value.if_object()) {
      TRY_VOID(work_.members.add(object->size()));
      for (const auto& [name, one] : *object) {
        TRY(const size_t depth, nesting(one));
        below = std::max(below, depth);
      }
    }
    return below + 1;
  }

  // Null where it leads nowhere, which the converter refuses.
  Result<const json::value*> target(const json::value& reference) {
    const auto* text = reference.if_string();
    if (!text || !text->starts_with("#/")) return nullptr;
    if (text->size() > kNameBytesMax) return too_long("a $ref");
    TRY(const json::value* found, follow_reference(root_, reference));
    if (!found || !known_.insert(std::string(*text)).second) return found;
    TRY(const size_t depth, nesting(*found));
    depth_ += depth;
    if (depth_ <= kDepthMax) return found;
    return fail(Errc::invalid_argument, "JSON schema: its references lead more than {} levels deep",
                kDepthMax);
  }

  static std::unexpected<Error> too_long(std::string_view what) {
    return fail(Errc::invalid_argument, "JSON schema: {} of more than {} bytes", what,
                kNameBytesMax);
  }

  // `way`: bytes of the names that lead to the schema.
  Result<void> visit(const json::value& schema, size_t way) {
    TRY_VOID(count(work_.visits, kVisitsMax));
    TRY_VOID(count(work_.name_bytes, kNamesMax, way));
    const auto* object = schema.if_object();
    if (!object) return {};
    if (const auto* reference = object->if_contains("$ref")) {
      TRY(const json::value* found, target(*reference));
      if (!found) return {};
      const std::string_view text = reference->get_string();
      if (!followed_.emplace(text).second) return {};
      const auto outer = std::exchange(expanding_, {});  // From here on it stops at this reference.
      TRY_VOID(visit(*found, text.size()));
      expanding_ = outer;
      return {};
    }
    const auto* types = object->if_contains("type");
    const size_t times = types && types->is_array() ? types->get_array().size() : 1;
    if (times > kTypesMax) {
      return fail(Errc::invalid_argument, "JSON schema: a list of {} types", times);
    }
    for (size_t i = 0; i < times; ++i) TRY_VOID(visit_members(*object, way));
    return {};
  }

  Result<void> visit_members(const json::object& object, size_t way) {
    for (const auto& [name, value] : object) {
      if (is_refused_minimum(name, value)) {
        return fail(Errc::invalid_argument, "JSON schema: {} of more than {}",
                    std::string_view(name), kRepetitionsMax);
      }
      if (name == "enum" && value.is_array()) {
        TRY_VOID(count(work_.constants, kConstantsMax, value.get_array().size()));
      } else if (name == "pattern" && value.is_string()) {
        if (value.get_string().size() > kPatternBytesMax) {
          return fail(Errc::invalid_argument, "JSON schema: a pattern of more than {} bytes",
                      kPatternBytesMax);
        }
        TRY_VOID(count(work_.copies, kCopiesMax, work_.visits));
      } else if (name == "properties" && value.is_object()) {
        TRY_VOID(visit_properties(value.get_object(), object, way));
      } else if (name == "items" || name == "prefixItems" || name == "additionalProperties" ||
                 name == "anyOf" || name == "oneOf") {
        TRY_VOID(visit_each(value, way));
      } else if (name == "allOf" && value.is_array()) {
        TRY_VOID(visit_all_of(value.get_array(), way));
      }
    }
    return {};
  }

  Result<void> charge_optional(size_t optional, size_t way) {
    if (optional > kOptionalMax) {
      return fail(Errc::invalid_argument,
                  "JSON schema: an object with more than {} properties that are not required",
                  kOptionalMax);
    }
    return count(work_.optional, kOptionalWorkMax, optional * optional * (optional + way));
  }

  Result<void> visit_properties(const json::object& properties, const json::object& object,
                                size_t way) {
    std::set<std::string_view> required;
    if (const auto* names = object.if_contains("required"); names && names->is_array()) {
      for (const json::value& name : names->get_array()) {
        if (const auto* text = name.if_string()) required.insert(*text);
      }
    }
    TRY_VOID(charge_optional(
        std::ranges::count_if(
            properties, [&](const auto& property) { return !required.contains(property.key()); }),
        way));
    for (const auto& [key, property] : properties) {
      if (key.size() > kNameBytesMax) return too_long("a property's name");
      TRY_VOID(visit(property, way + key.size() + 1));
      TRY_VOID(find_types(property));
    }
    return {};
  }

  // The library asks of which types a parameter may be, and goes each way anew.
  Result<void> find_types(const json::value& schema) {
    TRY_VOID(count(work_.types, kVisitsMax));
    const auto* object = schema.if_object();
    if (!object) return {};
    if (const auto* reference = object->if_contains("$ref")) {
      TRY(const json::value* found, target(*reference));
      if (!found || !typing_.insert(found).second) return {};
      TRY_VOID(find_types(*found));
      typing_.erase(found);
      return {};
    }
    for (const char* name : {"oneOf", "anyOf", "allOf"}) {
      const auto* each = object->if_contains(name);
      if (!each || !each->is_array()) continue;
      for (const json::value& one : each->get_array()) TRY_VOID(find_types(one));
    }
    return {};
  }

  Result<void> visit_each(const json::value& value, size_t way) {
    if (!value.is_array()) return visit(value, way);
    for (const json::value& one : value.get_array()) TRY_VOID(visit(one, way));
    return {};
  }

  // All of them become one object.
  Result<void> visit_all_of(const json::array& components, size_t way) {
    const size_t outer = std::exchange(alternatives_, 0);
    for (const json::value& component : components) TRY_VOID(expand(component, way, false));
    return charge_optional(std::exchange(alternatives_, outer), way);
  }

  // A part of an allOf: its members are visited in place, however often.
  Result<void> expand(const json::value& component, size_t way, bool is_alternative) {
    TRY_VOID(count(work_.visits, kVisitsMax));
    const auto* object = component.if_object();
    if (!object) return {};
    if (const auto* reference = object->if_contains("$ref")) {
      TRY(const json::value* found, target(*reference));
      if (!found) return {};
      if (!expanding_.insert(found).second) {
        return fail(Errc::invalid_argument,
                    "JSON schema: the $ref {} of an allOf leads back to itself",
                    std::string_view(reference->get_string()));
      }
      TRY_VOID(expand(*found, way, is_alternative));
      expanding_.erase(found);
      return {};
    }
    for (const char* name : {"anyOf", "oneOf"}) {
      const auto* alternatives = object->if_contains(name);
      if (!alternatives || !alternatives->is_array()) continue;
      for (const json::value& one : alternatives->get_array()) TRY_VOID(expand(one, way, true));
    }
    const auto* properties = object->if_contains("properties");
    if (is_alternative && properties && properties->is_object()) {
      alternatives_ += properties->get_object().size();
    }
    return visit(component, way);
  }

  const json::value& root_;
  SchemaWork& work_;
  size_t depth_ = 0;
  size_t alternatives_ = 0;         // Properties of alternatives in the allOf that is walked.
  std::set<std::string> known_;     // References whose target's depth was counted.
  std::set<std::string> followed_;  // Those whose target was visited.
  std::set<const json::value*> expanding_;  // Targets in whose members the walk is.
  std::set<const json::value*> typing_;     // Those whose types are looked for.
};

}  // namespace

Result<void> SchemaBudget::take(const json::value& schema) {
  SchemaWork work = used_;
  TRY_VOID(Walk(schema, work).run());
  used_ = work;
  return {};
}

Result<void> check_schema(const json::value& schema) { return SchemaBudget().take(schema); }

Result<const json::value*> follow_reference(const json::value& root, const json::value& reference) {
  const auto* text = reference.if_string();
  if (!text || !text->starts_with("#/")) return nullptr;
  std::string_view path = std::string_view(*text).substr(2);
  const json::value* at = &root;
  for (bool is_last = false; at && !is_last;) {
    const size_t slash = path.find('/');
    is_last = slash == path.npos;
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(is_last ? path.size() : slash + 1);
    if (const auto* array = at->if_array()) {
      size_t index = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      if (error != std::errc() || end != part.data() + part.size()) {
        return fail(Errc::invalid_argument, "JSON schema: \"{}\" in a $ref is no place of a list",
                    part);
      }
      at = index < array->size() ? &(*array)[index] : nullptr;
    } else {
      at = at->is_object() ? at->get_object().if_contains(part) : nullptr;
    }
  }
  return at;
}

json::value without_single_all_of(const json::value& schema) {
  if (const auto* array = schema.if_array()) {
    json::array out;
    for (const json::value& one : *array) out.push_back(without_single_all_of(one));
    return out;
  }
  const auto* object = schema.if_object();
  if (!object) return schema;
  if (const auto* parts = object->if_contains("allOf"); parts && parts->is_array()) {
    const auto& all = parts->get_array();
    const auto* only = all.size() == 1 ? all.front().if_object() : nullptr;
    if (only && only->contains("$ref") && !object->contains("properties")) return all.front();
  }
  json::object out;
  for (const auto& [name, value] : *object) out[name] = without_single_all_of(value);
  return out;
}

}  // namespace om::prompt
