// Writes Ollama's answers: chunks of chat and generate, progress lines, model details.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/json_output.h"
#include "model/chat.h"
#include "store/store.h"
#include "transfer/transfer.h"

namespace om::api {

inline constexpr std::string_view kNdjson = "application/x-ndjson";

// Writes one answer's chunks, or all of them as one object. Counts the answer's tool calls.
class ReplyWriter {
 public:
  enum class Kind { chat, generate };
  // `model` as the client wrote it.
  ReplyWriter(Kind kind, std::string model) : kind_(kind), model_(std::move(model)) {}

  // Appends one JSON object, without a line end.
  void write(std::string& out, const model::Chunk& chunk, io::WallTime now);
  // The answer to _debug_render_only.
  void write_debug(std::string& out, const model::Chunk& chunk, size_t images, io::WallTime now);

 private:
  void write_tool_calls(JsonWriter& writer, const std::vector<model::ToolCall>& calls);
  Kind kind_;
  std::string model_;
  int64_t tool_calls_ = 0;
};

// Joins a chunk to the whole that a client without streaming gets.
void append_chunk(model::Chunk& whole, model::Chunk chunk);

// A progress object and a line end.
void write_progress(std::string& out, const transfer::Progress& progress);

// `details` of tags, ps and show.
void write_details(JsonWriter& writer, const store::ModelDetails& details);

void write_list(JsonWriter& writer, std::string_view name, const std::vector<std::string>& texts);

}  // namespace om::api
