#include "engine/external/external_answer.h"

namespace om::engine {

ExternalAnswer::ExternalAnswer(std::unique_ptr<SilenceLimit> limit,
                               std::unique_ptr<http::ClientResponse> response,
                               std::unique_ptr<EventParser> parser, bool lines)
    : limit_(std::move(limit)),
      response_(std::move(response)),
      parser_(std::move(parser)),
      lines_(lines) {}

Result<void> ExternalAnswer::take_event(std::string_view data) {
  const size_t before = chunks_.size();
  TRY_VOID(parser_->take(data, chunks_));
  limit_->heard(chunks_.size() > before);
  return {};
}

Result<void> ExternalAnswer::take(std::string_view bytes) {
  if (lines_) {
    std::string_view line;
    while (true) {
      TRY(const bool whole, json_lines_.next(bytes, line));
      if (!whole) return {};
      TRY_VOID(take_event(line));
    }
  }
  http::SseEvent event;
  while (true) {
    TRY(const bool whole, events_.next(bytes, event));
    if (!whole) return {};
    TRY_VOID(take_event(event.data));
  }
}

io::Task<Result<model::Chunk>> ExternalAnswer::next() {
  while (chunks_.empty()) {
    if (failed_) co_return fail(*failed_);
    if (!response_) co_return fail(Errc::unavailable, "the backend's answer was cut off");
    std::string bytes;
    limit_->begin_wait();
    auto more = co_await response_->read_some(bytes);
    limit_->end_wait();
    if (!more && limit_->passed()) {
      response_.reset();
      co_return fail(Errc::unavailable, "the backend fell silent");
    }
    if (!more) co_return fail(std::move(more).error());
    if (const auto taken = take(bytes); !taken) {
      response_.reset();
      failed_ = taken.error();
      continue;
    }
    if (*more) continue;
    response_.reset();
    if (lines_ && !json_lines_.rest().empty()) {
      const std::string rest(json_lines_.rest());
      CO_TRY_VOID(parser_->take(rest, chunks_));
    }
    parser_->end(chunks_);
  }
  model::Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  if (chunk.done) limit_->note_end(chunk.usage);
  co_return chunk;
}

}  // namespace om::engine
