// Which JSON schemas llama.cpp's converter may be given (common/json-schema.cpp and
// json-schema-to-grammar.cpp of the pinned release). It runs in the node itself, follows references
// without end where they lead back through an allOf, visits what is alternatives of alternatives
// once for each way to it, and recurses: a hostile schema, and some honest ones, would end the node
// or stop it for good. Private to this room.
#pragma once

#include <boost/json.hpp>

#include "base/result.h"
#include "prompt/member_budget.h"

namespace om::prompt {

inline constexpr size_t kNameBytesMax = 1'000;  // They go through std::regex, which recurses too.
inline constexpr int64_t kRepetitionsMax = 2'000;  // llama-grammar.cpp's MAX_REPETITION_THRESHOLD.

struct SchemaWork {
  size_t parts = 0, visits = 0, types = 0, name_bytes = 0, constants = 0, copies = 0, optional = 0;
  MemberBudget members;
};

// What one request may have converted.
class SchemaBudget {
 public:
  // Errc::invalid_argument with what a client can change; nothing is taken then. Quick: its work is
  // bounded too. A schema that passes may still be refused by the converter.
  Result<void> take(const boost::json::value& schema);

 private:
  SchemaWork used_;
};

// For a schema that is the only one.
Result<void> check_schema(const boost::json::value& schema);

// Where a `$ref` leads, as the converter follows it: without JSON Pointer's escapes. Null: nowhere.
// invalid_argument: into a list, but not by a number.
Result<const boost::json::value*> follow_reference(const boost::json::value& root,
                                                   const boost::json::value& reference);

// The schema with each `{"allOf": [{"$ref": X}]}` written as `{"$ref": X}`, which means the same
// and may lead back. Pydantic writes the first form for members with a default or a description.
boost::json::value without_single_all_of(const boost::json::value& schema);

}  // namespace om::prompt
