#include "peer/running_completion.h"

#include <algorithm>

#include "engine/remote/wire.h"

namespace om::peer {
namespace {

constexpr size_t kJoinedBytesMax = 16 << 10;  // Of pieces that came together.

}  // namespace

io::Task<void> RunningCompletion::run(scheduler::Lease& lease, std::string body) {
  const auto spoken = co_await speak(lease, std::move(body));
  // Fails only if nobody will read it.
  if (!spoken) (void)co_await say(engine::error_line(spoken.error()), 1);
  ended_ = true;
  news_.notify_all();
}

io::Task<Result<void>> RunningCompletion::speak(scheduler::Lease& lease, std::string body) {
  CO_TRY(engine::CompletionRequest request, engine::decode_completion(body));
  const io::Call call{io::kNever, cancel_.token()};
  request.on_prompt_progress = [&lease](const engine::PromptProgress& progress) {
    lease.note_prompt_progress(progress);
  };
  CO_TRY(const auto completion, co_await lease.engine().complete(std::move(request), call));
  std::string lines = "{\"started\":true}\n";
  size_t count = 1;
  bool begun = false;
  while (true) {
    auto piece = completion->ready();
    if (!piece) {
      if (count > 0) CO_TRY_VOID(co_await say(lines, std::exchange(count, 0)));
      lines.clear();
      piece = co_await completion->next();
    }
    if (!*piece) {
      if (count > 0) CO_TRY_VOID(co_await say(lines, count));
      co_return fail(std::move(*piece).error());
    }
    engine::append_piece(lines, **piece);
    count++;
    if (!std::exchange(begun, true)) lease.note_first_token();
    if ((*piece)->done) {
      lease.note_end(scheduler::times_of(**piece));
      co_return co_await say(lines, count);
    }
    if (lines.size() > kJoinedBytesMax) {
      CO_TRY_VOID(co_await say(lines, std::exchange(count, 0)));
      lines.clear();
    }
  }
}

io::Task<Result<void>> RunningCompletion::say(std::string_view lines, size_t count) {
  const io::Call call{io::kNever, cancel_.token()};
  while (said_.size() - told_ > kAheadBytesMax) CO_TRY_VOID(co_await read_.wait(call));
  forget_told();
  said_ += lines;
  lines_ += count;
  news_.notify_all();
  co_return Result<void>{};
}

void RunningCompletion::forget_told() {
  if (told_ <= 2 * kToldBytesMax) return;
  const size_t end = said_.find('\n', told_ - kToldBytesMax) + 1;
  first_ += static_cast<size_t>(
      std::count(said_.begin(), said_.begin() + static_cast<ptrdiff_t>(end), '\n'));
  said_.erase(0, end);
  told_ -= end;
}

io::Task<Result<void>> RunningCompletion::tell(size_t from, LineStream& out, io::Call call) {
  if (from < first_ || from > lines_) {
    co_return fail(Errc::unavailable, "these lines are not kept any more");
  }
  const int reader = ++readers_;
  told_ = 0;
  for (size_t line = first_; line < from; line++) told_ = said_.find('\n', told_) + 1;
  while (true) {
    if (reader != readers_) co_return fail(Errc::unavailable, "another connection goes on reading");
    if (told_ < said_.size()) {
      const std::string lines = said_.substr(told_);
      told_ = said_.size();
      read_.notify_all();
      CO_TRY_VOID(co_await out.write(lines));
    } else if (ended_) {
      co_return Result<void>{};
    } else {
      CO_TRY_VOID(co_await news_.wait(call));
    }
  }
}

}  // namespace om::peer
