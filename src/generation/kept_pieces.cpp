#include "generation/kept_pieces.h"

#include <algorithm>
#include <utility>

#include "base/json_fields.h"
#include "engine/remote/wire.h"
#include "generation/chunk_wire.h"

namespace om::generation {
namespace {

// Goes on with the model's digest; nodes before 0.3 do not say it.
constexpr std::string_view kRunnerBegin = R"({"runner":true)";

ChannelMemory<KeptPiece>& memory() {
  thread_local ChannelMemory<KeptPiece> memory("kept_pieces");
  return memory;
}

Error too_long() {
  return {Errc::overloaded,
          fmt::format("an answer of more than {} bytes is too long to be kept", kRecordBytesMax)};
}

std::string runner_line(const Digest& model) {
  return fmt::format("{},\"model\":\"{}\"}}\n", kRunnerBegin, model.str());
}

bool is_of_other(std::string_view line, std::string_view model) {
  const auto runner = engine::parse_line(line);
  const std::string of = runner ? JsonFields(*runner).text("model") : "";
  return !of.empty() && of != model;
}

bool is_last_piece(std::string_view line) {
  const auto piece = engine::parse_line(line);
  return piece && engine::decode_piece(*piece).done;
}

}  // namespace

KeptPieces::KeptPieces(Recording& recording, const Digest& model)
    : recording_(recording), model_(model), waiting_(memory(), kRecordBytesMax) {}

bool KeptPieces::fits(std::string_view past, const Digest& model) {
  bool is_others = false;
  std::string_view last;
  while (!past.empty()) {
    last = past.substr(0, past.find('\n'));
    past.remove_prefix(std::min(last.size() + 1, past.size()));
    is_others = is_others || (last.starts_with(kRunnerBegin) && is_of_other(last, model.str()));
  }
  return !is_others || is_last_piece(last);
}

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
  if (std::exchange(runner_began_, false)) lines = runner_line(model_);
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
