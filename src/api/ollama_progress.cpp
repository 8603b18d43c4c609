#include "api/ollama_progress.h"

#include "api/ollama_reply.h"

namespace om::api {

transfer::ProgressSink ProgressSender::sink() {
  return [this](transfer::Progress progress) { return take(std::move(progress)); };
}

io::Task<Result<void>> ProgressSender::take(transfer::Progress progress) {
  line_.clear();
  write_progress(line_, progress);
  if (!stream_) co_return Result<void>{};
  if (!context_.response.started()) CO_TRY_VOID(co_await context_.start(std::string(kNdjson)));
  co_return co_await context_.response.write(line_);
}

io::Task<Result<void>> ProgressSender::finish() {
  if (context_.response.started()) co_return co_await context_.response.finish();
  if (line_.empty()) line_ = "{\"status\":\"success\"}\n";
  line_.pop_back();
  co_return co_await context_.send_json(std::move(line_));
}

}  // namespace om::api
