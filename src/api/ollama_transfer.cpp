#include "api/ollama_handlers.h"
#include "api/ollama_progress.h"
#include "api/ollama_reply.h"
#include "api/ollama_request.h"

namespace om::api {
namespace {

struct MoveRequest {
  std::string name;
  bool insecure = false;
  bool stream = true;
};

Result<MoveRequest> read_move_request(std::string_view type_name, const boost::json::value& body) {
  ObjectReader reader(type_name, body);
  MoveRequest request;
  request.name = read_model_name(reader);
  reader.read("insecure", request.insecure);
  reader.read("stream", request.stream);
  TRY_VOID(reader.done());
  return request;
}

// A registry's refusals are no fault of this request's form: Ollama answers 500 to all of them.
void set_status(Context& context, const Error& error) {
  if (error.code == Errc::not_found || error.code == Errc::unauthenticated ||
      error.code == Errc::forbidden) {
    context.error_status = 500;
  }
}

}  // namespace

HandlerResult handle_pull(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(const MoveRequest request, read_move_request("PullRequest", body));
  context.model = request.name;
  CO_TRY(model::Name name, model::Name::parse(request.name));
  transfer::RegistryRequest pull;
  pull.name = std::move(name);
  pull.insecure = request.insecure;
  ProgressSender progress(context, request.stream);
  transfer::ProgressSink sink = progress.sink();
  io::Call call = context.call();
  auto done =
      co_await dependencies.transfer.pull(std::move(pull), std::move(sink), std::move(call));
  if (!done) {
    set_status(context, done.error());
    co_return fail(std::move(done).error());
  }
  co_return co_await progress.finish();
}

HandlerResult handle_push(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(const MoveRequest request, read_move_request("PushRequest", body));
  context.model = request.name;
  if (request.name.empty()) co_return fail(Errc::invalid_argument, "model is required");
  auto name = model::Name::parse(request.name);
  if (!name) {
    if (request.stream) CO_TRY_VOID(co_await context.start(std::string(kNdjson)));
    co_return fail(Errc::invalid_argument, "unqualified name: {}", request.name);
  }
  transfer::RegistryRequest push;
  push.name = std::move(*name);
  push.insecure = request.insecure;
  ProgressSender progress(context, request.stream);
  transfer::ProgressSink sink = progress.sink();
  io::Call call = context.call();
  auto done =
      co_await dependencies.transfer.push(std::move(push), std::move(sink), std::move(call));
  if (!done) {
    set_status(context, done.error());
    co_return fail(std::move(done).error());
  }
  co_return co_await progress.finish();
}

}  // namespace om::api
