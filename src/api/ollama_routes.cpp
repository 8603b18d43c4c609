#include "api/json_output.h"
#include "api/ollama_handlers.h"

namespace om::api {
namespace {

using Handle = HandlerResult (*)(const Dependencies&, Context&);

HandlerResult handle_root(const Dependencies&, Context& context) {
  co_return co_await context.send(200, "text/plain; charset=utf-8", "Ollama is running");
}

// The Ollama whose API this is: clients compare it with the least one that they can use (VS Code's
// Copilot 0.6.4, Codex 0.13.4) and refuse what is older. `./run parity` compares with this one.
constexpr std::string_view kOllamaVersion = "0.17.4";

HandlerResult handle_version(const Dependencies& dependencies, Context& context) {
  std::string reply;
  JsonWriter writer(reply);
  writer.begin_object()
      .member("version", kOllamaVersion)
      .member("ollamamax", std::string_view(dependencies.settings.version))
      .member("revision", std::string_view(dependencies.settings.revision))
      .end_object();
  co_return co_await context.send_json(std::move(reply));
}

// There is no cloud behind this server, whatever the environment says.
HandlerResult handle_status(const Dependencies&, Context& context) {
  co_return co_await context.send_json(R"({"cloud":{"disabled":true,"source":"config"}})");
}

// Who is signed in at ollama.com: nobody, and nobody has to be. Its command line asks before each
// push, and ends it if there is no answer; the registry itself says who may push.
HandlerResult handle_me(const Dependencies&, Context& context) {
  co_return co_await context.send_json(R"({"name":""})");
}

}  // namespace

void register_ollama(Router& router, const Dependencies& dependencies) {
  const auto add = [&](std::string_view method, std::string_view pattern, Handle handle) {
    router.add(method, pattern, ErrorShape::ollama,
               [&dependencies, handle](Context& context) { return handle(dependencies, context); });
  };
  for (const std::string_view method : {"GET", "HEAD"}) {
    add(method, "/", handle_root);
    add(method, "/api/version", handle_version);
    add(method, "/api/tags", handle_tags);
  }
  add("GET", "/api/status", handle_status);
  add("POST", "/api/me", handle_me);
  add("GET", "/api/ps", handle_ps);
  add("GET", "/api/v1/loads", handle_loads);
  add("POST", "/api/show", handle_show);
  add("POST", "/api/generate", handle_generate);
  add("POST", "/api/chat", handle_chat);
  add("POST", "/api/embed", handle_embed);
  add("POST", "/api/embeddings", handle_embeddings);
  add("POST", "/api/pull", handle_pull);
  add("POST", "/api/push", handle_push);
  add("POST", "/api/create", handle_create);
  add("POST", "/api/copy", handle_copy);
  add("DELETE", "/api/delete", handle_delete);
  add("HEAD", "/api/blobs/:digest", handle_blob_head);
  add("POST", "/api/blobs/:digest", handle_blob_post);
}

}  // namespace om::api
