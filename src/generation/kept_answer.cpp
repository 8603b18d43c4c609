#include "generation/kept_answer.h"

namespace om::generation {

KeptAnswer::KeptAnswer(std::unique_ptr<Recording> recording, MakeAnswer make, const io::Call& call)
    : recording_(std::move(recording)),
      on_caller_(call.cancel, [this] { cancel_.cancel(); }),
      on_superseded_(recording_->superseded(), [this] { cancel_.cancel(); }),
      call_{call.deadline, cancel_.token()},
      make_(std::move(make)) {}

const Route& KeptAnswer::route() const {
  const bool is_asked = answer_ && !answer_->route().node.empty();
  return is_asked ? answer_->route() : route_;
}

Result<void> KeptAnswer::read(std::string_view past) {
  return for_each_line(past, [this](const boost::json::object& line, size_t) {
    KeptChunk kept = decode_chunk(line);
    answer_->assume(kept.chunk);
    route_ = {.node = std::move(kept.by), .resumed = 1};
    past_.push_back(std::move(kept.chunk));
  });
}

io::Task<Result<void>> KeptAnswer::open(std::string past) {
  answer_ = make_(call_);
  CO_TRY_VOID(read(past));
  if (!past_.empty()) co_return Result<void>{};
  co_return co_await answer_->open();
}

io::Task<Result<model::Chunk>> KeptAnswer::next() {
  was_kept_ = !past_.empty();
  if (was_kept_) {
    model::Chunk chunk = std::move(past_.front());
    past_.pop_front();
    co_return chunk;
  }
  CO_TRY(model::Chunk chunk, co_await answer_->next());
  std::string line;
  append_chunk(line, answer_->route().node, chunk);
  CO_TRY_VOID(co_await recording_->add(std::move(line), call_));
  co_return chunk;
}

}  // namespace om::generation
