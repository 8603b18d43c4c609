// Chunks of an answer as lines of JSON, for records (record.h).
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/chat.h"

namespace om::generation {

// A chunk and the server that made it; without `context` and `rendered_prompt`, which no foreign
// server gives.
struct KeptChunk {
  std::string by;
  model::Chunk chunk;
};

void append_chunk(std::string& out, std::string_view by, const model::Chunk& chunk);
KeptChunk decode_chunk(const boost::json::object& line);
// Whether a record's lines are chunks.
bool are_chunks(std::string_view lines);

// Calls `take` for each line of any record, with the line's bytes. corrupt: a line is not a JSON
// object.
Result<void> for_each_line(std::string_view lines,
                           const std::function<void(const boost::json::object&, size_t)>& take);

}  // namespace om::generation
