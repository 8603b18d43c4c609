// An answer collected to its end, for replies that are not streamed.
#pragma once

#include <string>
#include <vector>

#include "generation/generation.h"
#include "model/chat.h"

namespace om::api {

// Larger than any model's answer; a runaway must not fill the memory.
inline constexpr size_t kAnswerBytesMax = 64u << 20;

struct GatheredAnswer {
  std::string content;
  std::string thinking;
  std::vector<model::ToolCall> tool_calls;
  std::vector<model::Logprob> logprobs;
  model::DoneReason reason = model::DoneReason::stop;
  std::string stop_sequence;
  model::Usage usage;

  void add(model::Chunk chunk);
};

// overloaded: the answer is larger than kAnswerBytesMax.
io::Task<Result<GatheredAnswer>> gather(generation::Answer& answer);

}  // namespace om::api
