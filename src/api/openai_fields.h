// Reads members of a request's JSON object for the OpenAI and Anthropic routes, and names the one
// that has the wrong type. Views of a parsed body: use them while it lives.
#pragma once

#include <boost/json.hpp>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om::api {

// To both APIs an absent member and null are the same. Ollama's routes use ObjectReader
// (json_input.h), messages between nodes JsonFields (base/json_fields.h).
// Every error is invalid_argument and names the member: "'messages[0].role' must be a string, not
// a number".
class Fields {
 public:
  explicit Fields(const boost::json::object& object, std::string path = {})
      : object_(&object), path_(std::move(path)) {}
  static Result<Fields> of(const boost::json::value& value, std::string path);

  const boost::json::value* find(std::string_view name) const;  // Null pointer: absent or null.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Whether there are no members of other names.
  bool has_only(std::initializer_list<std::string_view> names) const;
  std::string where(std::string_view name) const;  // "messages[0].role".

  Result<std::optional<std::string>> string(std::string_view name) const;
  Result<std::optional<double>> number(std::string_view name) const;
  Result<std::optional<int64_t>> integer(std::string_view name) const;
  Result<std::optional<bool>> boolean(std::string_view name) const;
  Result<std::optional<Fields>> object(std::string_view name) const;
  Result<const boost::json::array*> array(std::string_view name) const;  // Null pointer: absent.
  Result<std::string> required_string(std::string_view name) const;
  // A string or a list of strings.
  Result<std::vector<std::string>> strings(std::string_view name) const;

  // Copies numbers into a request's options under Ollama's names; absent ones are left out, so that
  // the model's own PARAMETERs hold.
  Result<void> copy_number(std::string_view name, boost::json::object& options,
                           std::string_view option) const;
  Result<void> copy_integer(std::string_view name, boost::json::object& options,
                            std::string_view option) const;

 private:
  std::unexpected<Error> wrong_type(std::string_view name, std::string_view expected,
                                    const boost::json::value& value) const;

  const boost::json::object* object_;
  std::string path_;
};

// "a string", "a number", ... for messages.
std::string_view kind_name(const boost::json::value& value);

// An integer, also written as 3.0; nullopt: not an integer, or out of range.
std::optional<int64_t> as_integer(const boost::json::value& value);

}  // namespace om::api
