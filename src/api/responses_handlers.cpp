// POST /v1/responses.
#include "api/openai_handlers.h"
#include "api/responses_items.h"
#include "api/responses_request.h"
#include "api/responses_stream.h"
#include "api/standing.h"

namespace om::api {

namespace json = boost::json;

namespace {

io::Task<Result<void>> write_keepalive(Context& context, ResponseStream& stream) {
  CO_TRY_VOID(co_await start_events(context, nullptr));
  CO_TRY_VOID(co_await context.write_opening(stream.begin()));
  // Not part of the answer, and so without an id of its own.
  const std::string event = stream.keepalive();
  co_return co_await context.response.write(event);
}

void keep_items(ResponseItems* kept, const ResponseStream& stream) {
  if (!kept) return;
  for (const ResponseStream::Item& item : stream.items()) kept->keep(item.id, item.text);
}

// `kept`: null for who wants nothing stored.
io::Task<Result<void>> stream_chunks(const Dependencies& node, Context& context,
                                     ResponseStream& stream, model::ChatRequest request,
                                     ResponseItems* kept) {
  Pulse pulse(node.world, context,
              [&context, &stream] { return write_keepalive(context, stream); });
  auto asked = node.generation.chat(std::move(request), context.call());
  CO_TRY(auto answer, co_await pulse.during(std::move(asked)));
  const WriteChunk write = [&stream, kept](std::string& events, const model::Chunk& chunk) {
    events += stream.begin();
    events += stream.add(chunk);
    // Who reads that the response is completed may refer to its items at once.
    if (chunk.done) keep_items(kept, stream);
  };
  CO_TRY_VOID(co_await stream_answer(context, pulse, *answer, ResponseStream::kBeginEvents, write));
  co_return co_await context.response.finish();
}

io::Task<Result<void>> stream_response(const Dependencies& node, Context& context,
                                       ResponseStream& stream, model::ChatRequest request,
                                       ResponseItems* kept) {
  Result<void> streamed = co_await stream_chunks(node, context, stream, std::move(request), kept);
  if (streamed) co_return streamed;
  // Items that are finished may be referred to, though the response failed.
  keep_items(kept, stream);
  const std::string_view told = streamed.error().what;
  // Told as OpenAI's service does: Codex shortens a conversation only after this event, not after
  // a status of 400.
  if (!context.response.started() &&
      error_words(ErrorShape::openai, told).code == kContextLengthExceeded) {
    CO_TRY_VOID(co_await start_events(context, nullptr));
    CO_TRY_VOID(co_await context.write_opening(stream.begin()));
  }
  context.error_element = stream.fail(told);
  co_return streamed;
}

io::Task<Result<void>> create_response(const Dependencies& node, Context& context,
                                       ResponseItems& kept) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY_VOID(kept.resolve(body));
  CO_TRY(ResponsesCall call, parse_responses(body));
  context.model = call.request.common.model;
  CO_TRY_VOID(note_caller(call.request.common, context, node.settings));
  const bool streamed = call.request.common.stream;
  ResponseItems* const items = call.store ? &kept : nullptr;
  ResponseStream stream(make_head(node, context, "resp_", context.model), std::move(call.echo),
                        std::move(call.tools));
  if (streamed) {
    co_return co_await stream_response(node, context, stream, std::move(call.request), items);
  }
  CO_TRY(auto answer, co_await node.generation.chat(std::move(call.request), context.call()));
  size_t bytes = 0;
  for (bool done = false; !done;) {
    CO_TRY(model::Chunk chunk, co_await answer->next());
    bytes += chunk.content.size() + chunk.thinking.size();
    if (bytes > kAnswerBytesMax) co_return fail(Errc::overloaded, "the answer is too large");
    stream.add(chunk);
    done = chunk.done;
  }
  keep_items(items, stream);
  set_route_headers(context, answer->route());
  co_return co_await context.send_json(stream.response());
}

}  // namespace

void register_responses(Router& router, const Dependencies& dependencies) {
  auto kept = std::make_shared<ResponseItems>();
  router.add("POST", "/v1/responses", ErrorShape::openai,
             [kept = std::move(kept), &dependencies](Context& context) {
               return create_response(dependencies, context, *kept);
             });
}

}  // namespace om::api
