// Sends an answer as Ollama's clients get it: lines as chunks come, or one object in the end.
#pragma once

#include <memory>
#include <string>

#include "api/api.h"
#include "api/ollama_reply.h"

namespace om::api {

struct AnswerShape {
  ReplyWriter::Kind kind = ReplyWriter::Kind::chat;
  std::string model;
  bool stream = true;
  bool debug = false;
  size_t images = 0;
};

// Nothing is sent before the first chunk is there, so that early errors have their own status.
io::Task<Result<void>> send_answer(const Dependencies& dependencies, Context& context,
                                   std::unique_ptr<generation::Answer> answer, AnswerShape shape);

}  // namespace om::api
