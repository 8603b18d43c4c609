#include "generation/kept_pieces.h"

#include <utility>

#include "engine/remote/wire.h"
#include "generation/chunk_wire.h"

namespace om::generation {
namespace {

constexpr std::string_view kRunnerLine = "{\"runner\":true}\n";

ChannelMemory<KeptPiece>& memory() {
  thread_local ChannelMemory<KeptPiece> memory("kept_pieces");
  return memory;
}

Error too_long() {
  return {Errc::overloaded,
          fmt::format("an answer of more than {} bytes is too long to be kept", kRecordBytesMax)};
}

}  // namespace

KeptPieces::KeptPieces(Recording& recording)
    : recording_(recording), waiting_(memory(), kRecordBytesMax) {}

Result<void> KeptPieces::read_past() {
  const std::string past = recording_.take_past();
  if (are_chunks(past)) {
    return fail(Errc::unavailable, "the server that began this answer is no backend any more");
  }
  bool fits = true;
  TRY_VOID(for_each_line(past, [&](const boost::json::object& line, size_t bytes) {
    KeptPiece kept;
    if (!line.contains("runner")) kept.piece = engine::decode_piece(line);
    fits = fits && waiting_.push(std::move(kept), bytes);
    past_++;
  }));
  if (!fits) return fail(too_long());
  return {};
}

KeptPiece KeptPieces::take() {
  took_past_ = past_ > 0;
  if (took_past_) past_--;
  return waiting_.take();
}

io::Task<Result<void>> KeptPieces::keep(engine::Piece piece, engine::Completion& completion,
                                        std::optional<Error>& lost, io::Call call) {
  std::string lines;
  if (std::exchange(runner_began_, false)) lines = kRunnerLine;
  bool done = false, fits = true;
  const auto add = [&](engine::Piece&& told) {
    const size_t before = lines.size();
    engine::append_piece(lines, told);
    done = told.done;
    fits = waiting_.push({std::move(told)}, lines.size() - before);
  };
  add(std::move(piece));
  while (!done && fits) {
    auto more = completion.ready();
    if (!more) break;
    if (!*more) {
      lost = std::move(*more).error();
      break;
    }
    add(std::move(**more));
  }
  if (!fits) co_return fail(too_long());
  co_return co_await recording_.add(std::move(lines), std::move(call));
}

}  // namespace om::generation
