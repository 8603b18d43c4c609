// The operator's routes: /api/v1/cluster. Only this machine may ask: whoever can change a cluster
// can read all that is asked of it.
#include "api/cluster_handlers.h"

#include "api/json_input.h"
#include "api/ollama_request.h"
#include "api/standing.h"
#include "base/duration.h"
#include "cluster/admission.h"
#include "metadata/backup.h"
#include "scheduler/node_placement.h"

namespace om::api {
namespace {

namespace json = boost::json;

constexpr uint64_t kBodyBytesMax = 1 << 20;
constexpr std::chrono::seconds kChangeMax{30};
constexpr std::chrono::hours kTokenLifeMax{24 * 365};

using Action = io::Task<Result<void>> (*)(cluster::Admin&, Context&, io::Call);

io::Task<Result<void>> send_object(Context& context, const json::object& object) {
  return context.send_json(json::serialize(object));
}

io::Task<Result<void>> send_done(Context& context) { return context.send_json("{}"); }

// The body's members; an empty body is an empty object.
io::Task<Result<json::object>> read_arguments(Context& context) {
  CO_TRY(const std::string body, co_await read_body(context, kBodyBytesMax));
  if (body.empty()) co_return json::object{};
  CO_TRY(const json::value value, parse_json(body));
  if (!value.is_object()) co_return fail(Errc::invalid_argument, "the body is not a JSON object");
  co_return value.get_object();
}

io::Task<Result<void>> status(cluster::Admin& admin, Context& context, io::Call) {
  co_return co_await send_object(context, admin.status());
}

io::Task<Result<void>> init(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(const json::value arguments, co_await read_arguments(context));
  ObjectReader reader("ClusterInit", arguments);
  cluster::EnterOptions options;
  reader.read("advertise", options.advertise);
  CO_TRY_VOID(reader.done());
  CO_TRY(const std::string token, co_await admin.init(std::move(options), std::move(call)));
  const json::object reply{{"token", token}};
  co_return co_await send_object(context, reply);
}

io::Task<Result<void>> join(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(const json::value arguments, co_await read_arguments(context));
  ObjectReader reader("ClusterJoin", arguments);
  cluster::EnterOptions options;
  std::string token;
  reader.read("token", token);
  reader.read("advertise", options.advertise);
  reader.read("discover", options.discover);
  CO_TRY_VOID(reader.done());
  CO_TRY_VOID(co_await admin.join(std::move(token), std::move(options), std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> leave(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(const json::value arguments, co_await read_arguments(context));
  ObjectReader reader("ClusterLeave", arguments);
  bool force = false;
  reader.read("force", force);
  CO_TRY_VOID(reader.done());
  CO_TRY_VOID(co_await admin.leave(force, std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> make_token(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(const json::value arguments, co_await read_arguments(context));
  ObjectReader reader("ClusterToken", arguments);
  std::string life;
  reader.read("expires_in", life);
  CO_TRY_VOID(reader.done());
  io::Duration duration = cluster::kTokenLife;
  if (!life.empty()) {
    CO_TRY(duration, parse_duration(life));
    if (duration < std::chrono::seconds(1) || duration > kTokenLifeMax) {
      co_return fail(Errc::invalid_argument, "expires_in \"{}\": expected from 1s to {}", life,
                     format_duration(kTokenLifeMax));
    }
  }
  CO_TRY(const std::string token, co_await admin.make_token(duration, std::move(call)));
  const json::object reply{{"token", token}};
  co_return co_await send_object(context, reply);
}

io::Task<Result<void>> drain(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY_VOID(co_await admin.drain(std::string(context.parameter("node")), true, std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> undrain(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY_VOID(co_await admin.drain(std::string(context.parameter("node")), false, std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> promote(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY_VOID(co_await admin.promote(std::string(context.parameter("node")), std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> remove(cluster::Admin& admin, Context& context, io::Call call) {
  const bool force = context.request.query_value("force") == "true";
  CO_TRY_VOID(
      co_await admin.remove(std::string(context.parameter("node")), force, std::move(call)));
  co_return co_await send_done(context);
}

io::Task<Result<void>> backup(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(std::string text, co_await admin.backup(std::move(call)));
  co_return co_await context.send(200, "application/x-ndjson", std::move(text));
}

io::Task<Result<void>> restore(cluster::Admin& admin, Context& context, io::Call call) {
  CO_TRY(std::string text, co_await read_body(context, metadata::kBackupBytesMax));
  const auto restored = co_await admin.restore(std::move(text), std::move(call));
  if (!restored) {
    if (restored.error().code == Errc::corrupt) context.error_status = 400;  // What was sent is.
    co_return fail(restored.error());
  }
  const json::object reply{{"entries", restored->entries},
                           {"kept", json::array(restored->kept.begin(), restored->kept.end())}};
  co_return co_await send_object(context, reply);
}

// Why a request of late went where it went.
HandlerResult explain(const Dependencies& dependencies, Context& context) {
  const std::string id(context.parameter("id"));
  std::string text = dependencies.generation.explain(id);
  if (text.empty()) {
    co_return fail(
        Errc::not_found,
        "no decision is known for request '{}': the node it was sent to remembers its "
        "last thousand that had a choice, of a cluster's nodes or of backends, under the "
        "X-Request-Id of the answer",
        id);
  }
  co_return co_await context.send_json(std::move(text));
}

// Where a request would go now, and at which cost: of a body of /api/chat, known by its messages,
// or of /api/generate.
HandlerResult dry_run(const Dependencies& dependencies, Context& context) {
  CO_TRY(const auto body, co_await read_json(context, dependencies.settings.body_bytes_max));
  const auto told = [&](auto request) -> Result<std::string> {
    TRY_VOID(request);
    TRY_VOID(note_caller(request->common, context, dependencies.settings));
    TRY(const auto decision, dependencies.generation.dry_run(*request));
    return decision->to_json();
  };
  const bool is_chat = body.is_object() && body.get_object().contains("messages");
  CO_TRY(std::string text,
         is_chat ? told(read_chat_request(body)) : told(read_generate_request(body)));
  co_return co_await context.send_json(std::move(text));
}

HandlerResult run(const Dependencies& dependencies, Context& context, Action action) {
  if (!context.from_operator) {
    co_return fail(Errc::forbidden,
                   "the cluster is looked after from the node's own machine, under a name or an "
                   "address of its own: run the command there");
  }
  if (!dependencies.admin) {
    co_return fail(Errc::unsupported, "this node was built without a cluster");
  }
  const io::Call call = dependencies.world.clock.call_within(kChangeMax, context.request.cancel);
  co_return co_await action(*dependencies.admin, context, call);
}

}  // namespace

void register_cluster(Router& router, const Dependencies& dependencies) {
  struct Row {
    std::string_view method, pattern;
    Action action;
  };
  static constexpr Row kRows[] = {
      {"GET", "/api/v1/cluster", status},
      {"POST", "/api/v1/cluster/init", init},
      {"POST", "/api/v1/cluster/join", join},
      {"POST", "/api/v1/cluster/leave", leave},
      {"POST", "/api/v1/cluster/token", make_token},
      {"GET", "/api/v1/cluster/backup", backup},
      {"POST", "/api/v1/cluster/restore", restore},
      {"POST", "/api/v1/cluster/nodes/:node/drain", drain},
      {"POST", "/api/v1/cluster/nodes/:node/undrain", undrain},
      {"POST", "/api/v1/cluster/nodes/:node/promote", promote},
      {"DELETE", "/api/v1/cluster/nodes/:node", remove},
  };
  router.add("GET", "/api/v1/explain/:id", ErrorShape::ollama,
             [&dependencies](Context& context) { return explain(dependencies, context); });
  router.add("POST", "/api/v1/placement", ErrorShape::ollama,
             [&dependencies](Context& context) { return dry_run(dependencies, context); });
  for (const Row& row : kRows) {
    router.add(row.method, row.pattern, ErrorShape::ollama,
               [&dependencies, action = row.action](Context& context) {
                 return run(dependencies, context, action);
               });
  }
}

}  // namespace om::api
