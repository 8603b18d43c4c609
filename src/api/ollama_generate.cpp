#include "api/ollama_answer.h"
#include "api/ollama_handlers.h"
#include "api/ollama_request.h"
#include "api/standing.h"

namespace om::api {

HandlerResult handle_generate(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(model::GenerateRequest request, read_generate_request(body));
  context.model = request.common.model;
  CO_TRY_VOID(note_caller(request.common, context, dependencies.settings));
  AnswerShape shape{.kind = ReplyWriter::Kind::generate,
                    .model = request.common.model,
                    .stream = request.common.stream,
                    .debug = request.common.debug_render_only,
                    .asks = !request.asks_nothing(),
                    .images = request.images.size()};
  io::Call call = context.call();
  auto asked = dependencies.generation.generate(std::move(request), std::move(call));
  co_return co_await send_answer(dependencies, context, std::move(asked), std::move(shape));
}

}  // namespace om::api
