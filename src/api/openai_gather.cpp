#include "api/openai_gather.h"

#include <iterator>

namespace om::api {

void GatheredAnswer::add(model::Chunk chunk) {
  content += chunk.content;
  thinking += chunk.thinking;
  std::ranges::move(chunk.tool_calls, std::back_inserter(tool_calls));
  std::ranges::move(chunk.logprobs, std::back_inserter(logprobs));
  if (!chunk.done) return;
  reason = chunk.reason;
  stop_sequence = std::move(chunk.stop_sequence);
  usage = chunk.usage;
}

io::Task<Result<GatheredAnswer>> gather(generation::Answer& answer) {
  GatheredAnswer gathered;
  for (bool done = false; !done;) {
    CO_TRY(model::Chunk chunk, co_await answer.next());
    done = chunk.done;
    gathered.add(std::move(chunk));
    if (gathered.content.size() + gathered.thinking.size() > kAnswerBytesMax) {
      co_return fail(Errc::overloaded, "the answer is larger than {} MiB", kAnswerBytesMax >> 20);
    }
  }
  co_return gathered;
}

}  // namespace om::api
