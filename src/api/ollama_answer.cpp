#include "api/ollama_answer.h"

namespace om::api {
namespace {

constexpr size_t kJoinedBytesMax = 32 * 1024;

bool is_single(const model::Chunk& chunk, const AnswerShape& shape) {
  return shape.debug || (chunk.done && (chunk.reason == model::DoneReason::load ||
                                        chunk.reason == model::DoneReason::unload));
}

}  // namespace

io::Task<Result<void>> send_answer(const Dependencies& dependencies, Context& context,
                                   std::unique_ptr<generation::Answer> answer, AnswerShape shape) {
  const io::Clock& clock = dependencies.world.clock;
  CO_TRY(model::Chunk chunk, co_await answer->next());
  ReplyWriter reply(shape.kind, shape.model);
  std::string line;
  if (shape.stream && !is_single(chunk, shape)) {
    set_route_headers(context, answer->route());
    CO_TRY_VOID(co_await context.start(std::string(kNdjson)));
    while (true) {
      const io::WallTime now = clock.wall_now();
      line.clear();
      reply.write(line, chunk, now);
      line += '\n';
      // What came in one read leaves in one write.
      std::optional<Result<model::Chunk>> more;
      while (!chunk.done && line.size() < kJoinedBytesMax && (more = answer->ready()) && *more) {
        chunk = std::move(**more);
        reply.write(line, chunk, now);
        line += '\n';
      }
      CO_TRY_VOID(co_await context.write(line));
      if (chunk.done) break;
      if (more && !*more) co_return fail(std::move(*more).error());
      CO_TRY(chunk, co_await answer->next());
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
