// POST /v1/responses.
#include "api/openai_handlers.h"
#include "api/responses_request.h"
#include "api/responses_stream.h"
#include "api/standing.h"

namespace om::api {

namespace json = boost::json;

namespace {

io::Task<Result<void>> stream_response(Context& context, ResponseStream& stream,
                                       generation::Answer& answer) {
  for (bool done = false; !done;) {
    Result<model::Chunk> chunk = co_await answer.next();
    if (!chunk) {
      if (context.response.started()) {
        // The router adds the error itself; this tells the response's own state.
        std::string last = stream.fail(chunk.error().what);
        CO_TRY_VOID(co_await write_events(context, std::move(last)));
      }
      co_return om::fail(std::move(chunk.error()));
    }
    std::string events;
    if (!context.response.started()) {
      CO_TRY_VOID(co_await start_events(context, answer));
      events = stream.begin();
    }
    events += stream.add(*chunk);
    CO_TRY_VOID(co_await write_events(context, std::move(events)));
    done = chunk->done;
  }
  co_return co_await context.response.finish();
}

}  // namespace

io::Task<Result<void>> create_response(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(ResponsesCall call, parse_responses(body));
  context.model = call.request.common.model;
  CO_TRY_VOID(note_caller(call.request.common, context, node.settings));
  bool streamed = call.request.common.stream;
  ResponseStream stream(make_head(node, context, "resp_", context.model), std::move(call.echo),
                        std::move(call.tools));
  CO_TRY(auto answer, co_await node.generation.chat(std::move(call.request), context.call()));
  if (streamed) co_return co_await stream_response(context, stream, *answer);
  size_t bytes = 0;
  for (bool done = false; !done;) {
    CO_TRY(model::Chunk chunk, co_await answer->next());
    bytes += chunk.content.size() + chunk.thinking.size();
    if (bytes > kAnswerBytesMax) co_return fail(Errc::overloaded, "the answer is too large");
    stream.add(chunk);
    done = chunk.done;
  }
  set_route_headers(context, answer->route());
  co_return co_await context.send_json(stream.response());
}

}  // namespace om::api
