// Which JSON schemas llama.cpp's converter may be given (common/json-schema.cpp and
// json-schema-to-grammar.cpp of the pinned release). It runs in the node itself, follows references
// without end where they lead back through an allOf, visits what is alternatives of alternatives
// once for each way to it, and recurses: a hostile schema, and some honest ones, would end the node
// or stop it for good. Private to this room.
#pragma once

#include <boost/json.hpp>

#include "base/result.h"

namespace om::prompt {

inline constexpr size_t kNameBytesMax = 1'000;  // They go through std::regex, which recurses too.
inline constexpr int64_t kRepetitionsMax = 2'000;  // llama-grammar.cpp's MAX_REPETITION_THRESHOLD.

// Errc::invalid_argument with what a client can change. Quick: its work is bounded too. A schema
// that passes may still be refused by the converter.
Result<void> check_schema(const boost::json::value& schema);

// The schema with each `{"allOf": [{"$ref": X}]}` written as `{"$ref": X}`, which means the same
// and may lead back. Pydantic writes the first form for members with a default or a description.
boost::json::value without_single_all_of(const boost::json::value& schema);

}  // namespace om::prompt
