// JSON text as Go writes it, which Ollama's clients and blobs are used to: no spaces, `<`, `>` and
// `&` escaped, the shortest form of a number (0.8, not 8E-1), broken UTF-8 replaced by U+FFFD.
// Pure functions; any thread. Source: https://pkg.go.dev/encoding/json#Marshal
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om::model {

std::string write_json(const boost::json::value& value);
void write_json(std::string& out, const boost::json::value& value);
void write_json_string(std::string& out, std::string_view text);  // With its quotes.
std::string write_number(double number);                          // NaN and infinities: "null".

// corrupt: `what` is no JSON object, with the reason. For blobs, whose nesting is shallow.
Result<boost::json::object> parse_json_object(std::string_view text, std::string_view what);

}  // namespace om::model
