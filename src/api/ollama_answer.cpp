#include "api/ollama_answer.h"

#include "api/joined_chunks.h"
#include "api/pulse.h"

namespace om::api {
namespace {

bool is_single(const model::Chunk& chunk, const AnswerShape& shape) {
  return shape.debug || (chunk.done && (chunk.reason == model::DoneReason::load ||
                                        chunk.reason == model::DoneReason::unload));
}

io::Task<Result<void>> write_empty_chunk(Context& context, ReplyWriter& reply,
                                         const io::Clock& clock) {
  if (!context.response.started()) CO_TRY_VOID(co_await context.start(std::string(kNdjson)));
  std::string line;
  reply.write(line, model::Chunk{}, clock.wall_now());
  line += '\n';
  co_return co_await context.response.write(line);
}

// Who picks an answer up counts its lines, and so gets none but those of the answer.
Pulse::Beat beat_of(Context& context, ReplyWriter& reply, const io::Clock& clock,
                    const AnswerShape& shape) {
  if (!shape.stream || shape.debug || !shape.asks || context.pick_up) return {};
  return [&] { return write_empty_chunk(context, reply, clock); };
}

}  // namespace

io::Task<Result<void>> send_answer(const Dependencies& dependencies, Context& context,
                                   io::Task<Result<std::unique_ptr<generation::Answer>>> asked,
                                   AnswerShape shape) {
  const io::Clock& clock = dependencies.world.clock;
  ReplyWriter reply(shape.kind, shape.model);
  Pulse pulse(dependencies.world, context, beat_of(context, reply, clock, shape));
  CO_TRY(auto answer, co_await pulse.during(std::move(asked)));
  CO_TRY(model::Chunk chunk, co_await pulse.during(answer->next()));
  CO_TRY_VOID(context.check_seen(answer->was_kept()));
  std::string line;
  if (context.response.started() || (shape.stream && !is_single(chunk, shape))) {
    if (!context.response.started()) {
      set_route_headers(context, answer->route());
      CO_TRY_VOID(co_await context.start(std::string(kNdjson)));
    }
    while (true) {
      const io::WallTime now = clock.wall_now();
      const WriteChunk write = [&reply, now](std::string& lines, const model::Chunk& written) {
        reply.write(lines, written, now);
        lines += '\n';
      };
      line.clear();
      Result<void> joined = join_ready(*answer, chunk, line, write);
      CO_TRY_VOID(co_await context.write(line));
      if (chunk.done) break;
      if (!joined) co_return fail(std::move(joined).error());
      CO_TRY(chunk, co_await pulse.during(answer->next()));
      CO_TRY_VOID(context.check_seen(answer->was_kept()));
    }
    co_return co_await context.response.finish();
  }
  model::Chunk whole;
  append_chunk(whole, std::move(chunk));
  while (!whole.done) {
    CO_TRY(model::Chunk more, co_await answer->next());
    append_chunk(whole, std::move(more));
  }
  set_route_headers(context, answer->route());
  if (shape.debug) {
    reply.write_debug(line, whole, shape.images, clock.wall_now());
  } else {
    reply.write(line, whole, clock.wall_now());
  }
  co_return co_await context.send_json(std::move(line));
}

}  // namespace om::api
