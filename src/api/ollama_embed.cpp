#include "api/json_output.h"
#include "api/long_reply.h"
#include "api/ollama_handlers.h"
#include "api/ollama_request.h"
#include "api/standing.h"

namespace om::api {
namespace {

void write_vector(JsonWriter& writer, const std::vector<float>& vector) {
  writer.begin_array();
  for (const float value : vector) writer.value(value);
  writer.end_array();
}

std::string embed_reply(std::string_view model, const model::Embedding& embedding) {
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object().member("model", model);
  writer.key("embeddings").begin_array();
  for (const std::vector<float>& vector : embedding.vectors) write_vector(writer, vector);
  writer.end_array();
  writer.member_if("total_duration", embedding.total.count());
  writer.member_if("load_duration", embedding.load.count());
  writer.member_if("prompt_eval_count", embedding.prompt_tokens);
  writer.end_object();
  return reply;
}

}  // namespace

HandlerResult handle_embed(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(model::EmbedRequest request, read_embed_request(body));
  const std::string model = request.model;
  context.model = model;
  CO_TRY(request.standing, read_standing(context.request.headers, dependencies.settings));
  // Here Ollama looks an empty name up; on the older route it asks for one.
  if (model.empty()) co_return fail(Errc::not_found, "model '' not found");
  io::Call call = context.call();
  CO_TRY(const model::Embedding embedding,
         co_await dependencies.generation.embed(std::move(request), std::move(call)));
  set_route_headers(context, embedding);
  std::function<std::string()> write = [&] { return embed_reply(model, embedding); };
  std::string reply = co_await write_reply(dependencies.world, embedding, std::move(write));
  co_return co_await context.send_json(std::move(reply));
}

HandlerResult handle_embeddings(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  CO_TRY(model::EmbedRequest request, read_embeddings_request(body));
  context.model = request.model;
  CO_TRY(request.standing, read_standing(context.request.headers, dependencies.settings));
  io::Call call = context.call();
  auto embedding = co_await dependencies.generation.embed(std::move(request), std::move(call));
  if (!embedding) {
    Error error = std::move(embedding).error();
    if (error.code == Errc::unsupported) context.error_status = 500;  // Where embed answers 501.
    co_return fail(std::move(error));
  }
  set_route_headers(context, *embedding);
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object().key("embedding");
  write_vector(writer, embedding->vectors.empty() ? std::vector<float>{} : embedding->vectors[0]);
  writer.end_object();
  co_return co_await context.send_json(std::move(reply));
}

}  // namespace om::api
