// Sends an answer in Ollama's form: a line for each chunk, or one object at the end.
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
  bool asks = true;  // There is a prompt. False: the model is only loaded or unloaded.
  size_t images = 0;
};

// Sends nothing before the first chunk is there, so that early errors have their own status; but a
// stream that is silent for a while gets chunks without text (pulse.h).
io::Task<Result<void>> send_answer(const Dependencies& dependencies, Context& context,
                                   io::Task<Result<std::unique_ptr<generation::Answer>>> asked,
                                   AnswerShape shape);

}  // namespace om::api
