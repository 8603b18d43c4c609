// Request bodies as Ollama's clients may send them: what Go's encoding/json takes, is taken (keys
// in any letter case, unknown keys, anything after the first value), and what it refuses is
// refused in its words. Source: https://pkg.go.dev/encoding/json#Unmarshal
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/router.h"

namespace om::api {

inline constexpr size_t kJsonDepthMax = 64;

// The first JSON value in `text`; the rest is ignored. Broken UTF-8 and halves of surrogate pairs
// become U+FFFD.
// invalid_argument: "missing request body" (nothing but blanks), "unexpected EOF" (cut),
// "invalid character 'x' ...", nested deeper than kJsonDepthMax, a number beyond a double.
// The value and its copies live in `storage`.
Result<boost::json::value> parse_json(std::string_view text, boost::json::storage_ptr storage = {});

// The whole body. Answered 413 if larger than `size_max`, 408 if it does not come, 415 if it is
// encoded in a way that we do not know (sets context.error_status).
io::Task<Result<std::string>> read_body(Context& context, uint64_t size_max);

// Reads the whole body and parses it into the context's arena: neither the value nor a copy of it
// that was not given a storage of its own may outlive the context. Content-Type is not looked at.
io::Task<Result<boost::json::value>> read_json(Context& context, uint64_t size_max);

// Takes an object of Ollama's routes apart into variables (OpenAI's and Anthropic's: Fields in
// openai_fields.h). Absent and null members leave their target as it is. The first wrong type is
// remembered and told by done():
//   ObjectReader reader("ChatRequest", value);
//   reader.read("model", request.model);
//   TRY_VOID(reader.done());
// The value must outlive the reader.
class ObjectReader {
 public:
  // `type_name` is the Go type in messages; `path` the fields that lead here ("messages").
  ObjectReader(std::string_view type_name, const boost::json::value& value, std::string path = {});

  void read(std::string_view name, std::string& target);
  void read(std::string_view name, std::optional<std::string>& target);
  void read(std::string_view name, bool& target);
  void read(std::string_view name, std::optional<bool>& target);
  void read(std::string_view name, int& target);
  void read(std::string_view name, boost::json::object& target);
  void read(std::string_view name, std::vector<std::string>& target);
  void read(std::string_view name, std::vector<int32_t>& target);

  // The member, whatever its type; null pointer: absent or null.
  const boost::json::value* find(std::string_view name) const;
  // The member's items; null pointer: absent, null or (remembered) no array. `go_type` is named
  // in the message.
  const boost::json::array* array(std::string_view name, std::string_view go_type);
  // "messages.content" for messages.
  std::string path(std::string_view name) const;
  // Remembers that `value` should have been a `go_type`.
  void refuse(std::string_view name, const boost::json::value& value, std::string_view go_type);
  // Remembers any error of a member's own decoding.
  void check(Result<void> result);

  Result<void> done();

 private:
  std::string_view type_name_;
  std::string path_;
  const boost::json::object* object_ = nullptr;
  std::optional<Error> error_;
};

}  // namespace om::api
