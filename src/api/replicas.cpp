// Copies of the cluster's models, for people and for `ollamamax replicas`:
//
//   GET    /api/v1/replicas                 how every model fares (transfer/replicas/health.h)
//   DELETE /api/v1/replicas/<model>         this node's copy goes; ?force=true: also the last one
//   GET, PUT, DELETE /api/v1/policies/<model>
//   GET, PUT, DELETE /api/v1/policies       of all models that have none of their own
//
// A policy is told with its revision. A PUT that carries one is answered 409 where the policy was
// changed since.
#include "api/json_input.h"
#include "api/json_output.h"
#include "api/ollama_handlers.h"
#include "base/log.h"
#include "transfer/distribution.h"
#include "transfer/replicas/health.h"

namespace om::api {
namespace {

constexpr uint64_t kPolicyBytesMax = 64 * 1024;

using Handle = HandlerResult (*)(transfer::Distribution& distribution, Context& context);

Result<model::Name> name_of(Context& context) {
  const std::string text(context.parameter("model"));
  context.model = text;
  const auto name = model::Name::parse(text);
  if (!name) return fail(Errc::invalid_argument, "name \"{}\" is invalid", text);
  return *name;
}

// Nothing: all models without a policy of their own are meant.
Result<std::optional<model::Name>> policy_name_of(Context& context) {
  if (context.parameter("model").empty()) return std::optional<model::Name>();
  TRY(auto name, name_of(context));
  return std::optional(std::move(name));
}

HandlerResult list_replicas(transfer::Distribution& distribution, Context& context) {
  transfer::Replicas& replicas = distribution.replicas();
  const auto health = co_await replicas.measure_health();
  co_return co_await context.send_json(
      transfer::health_json(health, *replicas.state(), distribution.links().view()));
}

HandlerResult remove_replica(transfer::Distribution& distribution, Context& context) {
  CO_TRY(const auto name, name_of(context));
  const bool force = context.request.query_value("force") == "true";
  CO_TRY_VOID(co_await distribution.replicas().remove_copy(name, force, context.call()));
  co_return co_await context.send(200, {}, {});
}

HandlerResult show_policy(transfer::Distribution& distribution, Context& context) {
  CO_TRY(const auto name, policy_name_of(context));
  const io::Call call = distribution.context().world.clock.call_within(store::Store::kLearnMax,
                                                                       context.request.cancel);
  auto kept = co_await distribution.catalogue().read_policy(name, call);
  if (!kept) {
    // As this node follows it. Nobody's change is lost to it: its revision is as old.
    log_debug("policy told as of the last look", field("error", kept.error()));
    kept = distribution.replicas().state()->kept_policy_of(name);
  }
  co_return co_await context.send_json(kept->to_json());
}

HandlerResult put_policy(transfer::Distribution& distribution, Context& context) {
  CO_TRY(const auto name, policy_name_of(context));
  CO_TRY(const auto body, co_await read_body(context, kPolicyBytesMax));
  CO_TRY(auto policy, transfer::KeptPolicy::parse(body));
  CO_TRY(policy.revision,
         co_await distribution.catalogue().set_policy(name, policy, context.call()));
  distribution.replicas().look_now();
  co_return co_await context.send_json(policy.to_json());
}

HandlerResult clear_policy(transfer::Distribution& distribution, Context& context) {
  CO_TRY(const auto name, policy_name_of(context));
  CO_TRY_VOID(co_await distribution.catalogue().clear_policy(name, context.call()));
  distribution.replicas().look_now();
  co_return co_await context.send(200, {}, {});
}

HandlerResult refuse_alone(Context&) {
  co_return fail(Errc::unsupported, "this node is not in a cluster");
}

}  // namespace

void register_replicas(Router& router, const Dependencies& dependencies) {
  const auto add = [&](std::string_view method, std::string_view pattern, Handle handle) {
    router.add(method, pattern, ErrorShape::ollama, [&dependencies, handle](Context& context) {
      auto* distribution = dependencies.distribution;
      return distribution != nullptr ? handle(*distribution, context) : refuse_alone(context);
    });
  };
  add("GET", "/api/v1/replicas", list_replicas);
  add("DELETE", "/api/v1/replicas/*model", remove_replica);
  for (const std::string_view pattern : {"/api/v1/policies", "/api/v1/policies/*model"}) {
    add("GET", pattern, show_policy);
    add("PUT", pattern, put_policy);
    add("DELETE", pattern, clear_policy);
  }
}

}  // namespace om::api
