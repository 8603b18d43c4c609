// Reads members of a JSON object that another node wrote: an absent or mistyped member leaves the
// default, so that a newer node's message is understood by an older one and the other way round.
// Where a value has many members, one function lists them by name for its writer and its reader.
#pragma once

#include <boost/json.hpp>
#include <cmath>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace om {

// As JsonFields::texts() reads them.
inline boost::json::array json_texts(const std::vector<std::string>& texts) {
  boost::json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

// Borrows the object. Plain value; any thread.
class JsonFields {
 public:
  explicit JsonFields(const boost::json::object& object) : object_(object) {}

  template <class T>
  void read(std::string_view name, T& into) const {
    take(name, into);
  }
  template <class T>
  void read(std::string_view name, std::optional<T>& into) const {
    T present{};
    if (take(name, present)) into = std::move(present);
  }
  const boost::json::array* array(std::string_view name) const {
    const auto* value = find(name);
    return value ? value->if_array() : nullptr;
  }
  const boost::json::object* object(std::string_view name) const {
    const auto* value = find(name);
    return value ? value->if_object() : nullptr;
  }
  // The strings of an array; what is none in it is left out.
  std::vector<std::string> texts(std::string_view name) const {
    std::vector<std::string> texts;
    const boost::json::array* values = array(name);
    if (!values) return texts;
    for (const boost::json::value& value : *values) {
      if (value.is_string()) texts.emplace_back(value.get_string());
    }
    return texts;
  }
  std::string text(std::string_view name) const {
    std::string value;
    read(name, value);
    return value;
  }

 private:
  const boost::json::value* find(std::string_view name) const { return object_.if_contains(name); }
  // Whether it was there, and of the type.
  bool take(std::string_view name, std::string& into) const {
    const auto* value = find(name);
    if (!value || !value->is_string()) return false;
    into = value->get_string();
    return true;
  }
  bool take(std::string_view name, bool& into) const {
    const auto* value = find(name);
    if (!value || !value->is_bool()) return false;
    into = value->get_bool();
    return true;
  }
  template <class Number>
    requires(std::integral<Number> || std::floating_point<Number>)
  bool take(std::string_view name, Number& into) const {
    const auto* value = find(name);
    if (!value || !value->is_number()) return false;
    boost::system::error_code inexact;
    const auto number = value->to_number<Number>(inexact);
    // One beyond a double's range is parsed as infinite, which no JSON can say again.
    if (inexact || !std::isfinite(static_cast<double>(number))) return false;
    into = number;
    return true;
  }

  const boost::json::object& object_;
};

}  // namespace om
