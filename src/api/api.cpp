#include "api/api.h"

#include <algorithm>

#include "api/access.h"
#include "api/cluster_handlers.h"
#include "api/metrics.h"
#include "api/standing.h"
#include "base/log.h"

namespace om::api {
namespace {

// Counts a request while it runs and tells of it in the end, however it ends.
class RequestRecord {
 public:
  RequestRecord(const Context& context, const io::Clock& clock)
      : context_(context), clock_(clock), started_(clock.now()) {
    requests_running.add();
  }
  ~RequestRecord() {
    requests_running.subtract();
    const auto seconds = std::chrono::duration<double>(clock_.now() - started_).count();
    // Routes, not paths: what a client makes up must not fill the memory.
    const std::string_view route = context_.pattern.empty() ? "none" : context_.pattern;
    const std::string status = std::to_string(context_.status);
    requests.with({route, status}).add();
    request_seconds.with({route}).observe(seconds);
    if (context_.first_piece) {
      const auto waited = std::chrono::duration<double>(*context_.first_piece - started_).count();
      const auto name = model::Name::parse(context_.model);
      const std::string model = name ? name->shortest() : context_.model;
      first_token_seconds.with({route, model}).observe(waited);
    }
    if (is_good_probe() && !log_enabled(LogLevel::debug)) return;
    const http::Request& request = context_.request;
    log_info("request", field("id", request.id), field("method", request.method),
             field("path", request.path), field("status", context_.status),
             field("seconds", seconds), field("model", context_.model),
             field("peer", request.peer));
  }
  RequestRecord(const RequestRecord&) = delete;
  RequestRecord& operator=(const RequestRecord&) = delete;

 private:
  // What orchestrators and Prometheus ask every few seconds, answered as ever.
  bool is_good_probe() const {
    static constexpr std::string_view kProbes[] = {"/", "/livez", "/readyz", "/metrics"};
    return context_.status < 400 &&
           std::ranges::find(kProbes, context_.pattern) != std::end(kProbes);
  }

  const Context& context_;
  const io::Clock& clock_;
  io::TimePoint started_;
};

io::Task<Result<void>> handle_metrics(Context& context) {
  co_return co_await context.send(200, std::string(kMetricsContentType),
                                  metrics_registry().render());
}

io::Task<Result<void>> handle_live(Context& context) {
  co_return co_await context.send(200, "text/plain; charset=utf-8", "ok\n");
}

bool is_shedding(const Settings& settings) { return settings.shedding && settings.shedding(); }

// The routes that run a model; all others cost little and stay open.
bool is_inference(std::string_view method, std::string_view path) {
  static constexpr std::string_view kPaths[] = {
      "/api/chat",       "/api/generate",        "/api/embed",
      "/api/embeddings", "/v1/chat/completions", "/v1/completions",
      "/v1/embeddings",  "/v1/responses",        "/v1/messages"};
  return method == "POST" && std::ranges::find(kPaths, path) != std::end(kPaths);
}

ErrorShape shape_of(std::string_view path) {
  if (path.starts_with("/v1/messages")) return ErrorShape::anthropic;
  return path.starts_with("/v1/") ? ErrorShape::openai : ErrorShape::ollama;
}

// Before its body is read.
io::Task<void> refuse(Context& context, int status, std::string_view what) {
  std::string body = error_body(shape_of(context.request.path), status, what, context.request.id);
  // A client that is gone already needs no answer.
  (void)co_await context.send(status, "application/json; charset=utf-8", std::move(body));
}

io::Task<void> refuse_for_memory(Context& context) {
  context.response.headers().set("Retry-After", "5");
  co_await refuse(context, 503,
                  "the server is short of memory and takes no new requests for the moment, please "
                  "try again in a few seconds");
}

io::Task<void> refuse_without_key(Context& context) {
  context.response.headers().set("WWW-Authenticate", "Bearer");
  const bool shows_one = !credential_of(context.request.headers).empty();
  co_await refuse(context, 401,
                  shows_one ? "this API key is not known here"
                            : "an API key is needed: send it as 'Authorization: Bearer KEY' or "
                              "'X-Api-Key: KEY'");
}

// Load balancers and orchestrators have no key, and learn nothing but that the node is there.
bool is_open_to_all(std::string_view path) {
  return path == "/" || path == "/livez" || path == "/readyz";
}

io::Task<Result<void>> handle_ready(const Dependencies& dependencies, Context& context) {
  if (is_shedding(dependencies.settings)) {
    co_return co_await context.send(503, "text/plain; charset=utf-8",
                                    "not ready: short of memory, new requests are refused\n");
  }
  const auto& ready = dependencies.settings.ready;
  if (!ready || ready()) {
    co_return co_await context.send(200, "text/plain; charset=utf-8", "ok\n");
  }
  co_return co_await context.send(503, "text/plain; charset=utf-8", "not ready\n");
}

void register_operations(Router& router, const Dependencies& dependencies) {
  for (const std::string_view method : {"GET", "HEAD"}) {
    router.add(method, "/metrics", ErrorShape::ollama, handle_metrics);
    router.add(method, "/livez", ErrorShape::ollama, handle_live);
    router.add(method, "/readyz", ErrorShape::ollama,
               [&dependencies](Context& context) { return handle_ready(dependencies, context); });
  }
}

}  // namespace

void set_route_headers(Context& context, const generation::Route& route) {
  http::Headers& headers = context.response.headers();
  if (!route.node.empty()) headers.set("X-OllamaMax-Node", route.node);
  headers.set("X-OllamaMax-Attempts", std::to_string(route.attempts));
  headers.set("X-OllamaMax-Resumed", std::to_string(route.resumed));
  if (!route.left_out.empty()) headers.set("X-OllamaMax-Truncated", route.left_out);
}

void set_route_headers(Context& context, const model::Embedding& embedding) {
  generation::Route route{.node = embedding.node};
  if (embedding.texts_cut > 0) route.left_out = fmt::format("texts={}", embedding.texts_cut);
  set_route_headers(context, route);
}

Api::Api(Dependencies dependencies)
    : dependencies_(std::move(dependencies)),
      access_(std::make_unique<AccessRules>(dependencies_.settings.check_host,
                                            dependencies_.settings.host_names,
                                            dependencies_.settings.origins)) {
  register_ollama(router_, dependencies_);
  register_openai(router_, dependencies_);
  register_anthropic(router_, dependencies_);
  register_mirror(router_, dependencies_);
  register_backends(router_, dependencies_);
  register_pin(router_, dependencies_);
  register_replicas(router_, dependencies_);
  register_operations(router_, dependencies_);
  register_cluster(router_, dependencies_);
}

Api::~Api() = default;

http::Handler Api::handler() {
  return [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
    return handle(request, body, response);
  };
}

bool Api::may_ask(const Context& context) const {
  security::ApiKeys* keys = dependencies_.api_keys;
  return keys == nullptr || context.from_operator || is_open_to_all(context.request.path) ||
         keys->contain(credential_of(context.request.headers));
}

io::Task<void> Api::handle(http::Request& request, http::BodyReader& body,
                           http::ResponseWriter& response) {
  const io::Clock& clock = dependencies_.world.clock;
  Context context{.request = request, .body = body, .response = response, .clock = &clock};
  RequestRecord record(context, clock);
  response.headers().set("X-Request-Id", request.id);
  const std::string_view host = request.headers.get("Host");
  const std::string_view origin = request.headers.get("Origin");
  const AccessRules::Origin judged = access_->judge_origin(origin, host);
  if (judged == AccessRules::Origin::refused || !access_->host_allowed(host)) {
    // If the client is gone there is nobody to tell; the same holds below.
    (void)co_await context.send(403, {}, {});
    co_return;
  }
  request.path = router_.known_path(std::move(request.path));
  context.from_operator = request.from_this_machine && access_->names_this_machine(host) &&
                          !came_through_a_proxy(request.headers);
  if (judged == AccessRules::Origin::allowed) add_origin_headers(response.headers(), origin);
  if (request.method == "OPTIONS" && judged == AccessRules::Origin::allowed) {
    add_preflight_headers(response.headers());
    (void)co_await context.send(204, {}, {});
    co_return;
  }
  if (!may_ask(context)) {
    co_await refuse_without_key(context);
    co_return;
  }
  if (is_inference(request.method, request.path)) {
    if (is_shedding(dependencies_.settings)) {
      co_await refuse_for_memory(context);
      co_return;
    }
    auto pick_up = read_pick_up(request.headers, request.path);
    if (!pick_up) {
      co_await refuse(context, 400, pick_up.error().what);
      co_return;
    }
    context.pick_up = std::move(*pick_up);
  }
  co_await router_.handle(context);
}

}  // namespace om::api
