// /v1/messages and /v1/messages/count_tokens. The headers anthropic-version, anthropic-beta and
// x-api-key are accepted and mean nothing here.
#include "api/anthropic_request.h"
#include "api/anthropic_stream.h"
#include "api/openai_handlers.h"
#include "api/standing.h"
#include "model/name.h"

namespace om::api {

namespace json = boost::json;

namespace {

// Clients of this API ask every model to think. What a foreign server's model can is not known
// here: it thinks as that server has it think.
void leave_foreign_thinking(const Dependencies& node, model::ChatRequest& request) {
  if (!request.common.think.enabled) return;
  const Result<model::Name> name = model::Name::parse(request.common.model);
  if (!name || !node.store.load(*name)) request.common.think = model::Think{};
}

io::Task<Result<void>> write_ping(Context& context, MessageStream& stream) {
  CO_TRY_VOID(co_await start_events(context, nullptr));
  CO_TRY_VOID(co_await context.write_opening(stream.begin()));
  // Not part of the answer, and so without a number of its own.
  co_return co_await context.response.write(MessageStream::kPing);
}

io::Task<Result<void>> stream_message(const Dependencies& node, Context& context,
                                      MessageStream stream, model::ChatRequest request) {
  Pulse pulse(node.world, context, [&context, &stream] { return write_ping(context, stream); });
  auto asked = node.generation.chat(std::move(request), context.call());
  CO_TRY(auto answer, co_await pulse.during(std::move(asked)));
  const WriteChunk write = [&stream](std::string& events, const model::Chunk& chunk) {
    events += stream.begin();
    events += stream.add(chunk);
  };
  CO_TRY_VOID(co_await stream_answer(context, pulse, *answer, MessageStream::kBeginEvents, write));
  co_return co_await context.response.finish();
}

io::Task<Result<void>> create_message(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(model::ChatRequest request, parse_messages_request(body, MessagesUse::generate));
  context.model = request.common.model;
  CO_TRY_VOID(note_caller(request.common, context, node.settings));
  leave_foreign_thinking(node, request);
  bool streamed = request.common.stream;
  MessageHead head{.id = make_head(node, context, "msg_", "").id,
                   .model = request.common.model,
                   .input_tokens_estimate = estimate_input_tokens(request)};
  if (streamed) {
    MessageStream stream(std::move(head));
    co_return co_await stream_message(node, context, std::move(stream), std::move(request));
  }
  CO_TRY(auto answer, co_await node.generation.chat(std::move(request), context.call()));
  CO_TRY(GatheredAnswer gathered, co_await gather(*answer));
  set_route_headers(context, answer->route());
  co_return co_await context.send_json(message_reply(head, gathered));
}

io::Task<Result<void>> count_tokens(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(model::ChatRequest request, parse_messages_request(body, MessagesUse::count_tokens));
  context.model = request.common.model;
  leave_foreign_thinking(node, request);
  const int64_t estimate = estimate_input_tokens(request);
  auto tokens = co_await node.generation.count_tokens(std::move(request), context.call());
  // Of a foreign server's model. Clients want a number, to see that a conversation grows too long.
  if (!tokens && tokens.error().code == Errc::unsupported) tokens = estimate;
  if (!tokens) co_return fail(std::move(tokens).error());
  co_return co_await context.send_json(fmt::format(R"({{"input_tokens":{}}})", *tokens));
}

using Handle = io::Task<Result<void>> (*)(const Dependencies&, Context&);

// With the id that errors tell, where Anthropic's clients look for it.
RouteHandler with_request_id(Handle handle, const Dependencies& node) {
  return [handle, &node](Context& context) {
    context.response.headers().set("request-id", anthropic_request_id(context.request.id));
    return handle(node, context);
  };
}

}  // namespace

void register_anthropic(Router& router, const Dependencies& dependencies) {
  router.add("POST", "/v1/messages", ErrorShape::anthropic,
             with_request_id(create_message, dependencies));
  router.add("POST", "/v1/messages/count_tokens", ErrorShape::anthropic,
             with_request_id(count_tokens, dependencies));
}

}  // namespace om::api
