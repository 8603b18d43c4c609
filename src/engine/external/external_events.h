// Turns the events that foreign servers stream into our chunks. Pure.
// A chunk's usage is the server's count so far, if it tells that before the end.
// OpenAI: https://platform.openai.com/docs/api-reference/chat-streaming
// Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "model/chat.h"

namespace om::engine {

class EventParser {
 public:
  virtual ~EventParser() = default;
  // One event's data. Returns an error that the event tells: unavailable, overloaded, internal.
  // corrupt: nonsense.
  virtual Result<void> take(std::string_view data, std::deque<model::Chunk>& into) = 0;
  // The body is over: a last chunk if the answer was complete, none if it was cut off.
  virtual void end(std::deque<model::Chunk>& into) { (void)into; }
};

// Of /v1/chat/completions, and of /v1/completions.
std::unique_ptr<EventParser> openai_events();
// Of /api/chat and /api/generate.
std::unique_ptr<EventParser> ollama_events();

}  // namespace om::engine
