// The HTTP surface: Ollama's routes, and the plugs for OpenAI's and Anthropic's. Checks hosts and
// origins, routes, writes the access log and counts. One per node, on the io thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/router.h"
#include "cluster/admin.h"
#include "cluster/backend_table.h"
#include "cluster/pin_table.h"
#include "generation/generation.h"
#include "generation/pin_keeper.h"
#include "http/server.h"
#include "io/world.h"
#include "scheduler/scheduler.h"
#include "security/api_keys.h"
#include "store/store.h"
#include "transfer/transfer.h"

namespace om::api {

struct Settings {
  std::string version = "0.0.0", revision;
  std::string node_name;
  uint64_t body_bytes_max = 32ull << 20;  // Of a JSON request.
  // A loopback listener answers only requests whose Host names this machine (DNS rebinding).
  bool check_host = true;
  std::vector<std::string> host_names;  // This machine's own names and addresses.
  std::vector<std::string> origins;     // OLLAMA_ORIGINS; added to the built-in ones.
  // Weights of keys in the queue, by key_name(); other keys weigh 1.
  std::map<std::string, double> key_weights;
  // Whether the node takes requests, for /readyz; absent: always.
  std::function<bool()> ready;
  // Whether memory is too short for new inference: those requests are then answered 503 with
  // Retry-After, and /readyz says so. Absent: never.
  std::function<bool()> shedding;
};

// What handlers work with. References outlive the Api.
struct Dependencies {
  io::World& world;
  store::Store& store;
  scheduler::Scheduler& scheduler;
  generation::Generation& generation;
  transfer::Transfer& transfer;
  Settings settings;
  cluster::Admin* admin = nullptr;  // Null: the cluster's routes answer that there is none.
  // In a cluster; null: the node is in none.
  transfer::Distribution* distribution = nullptr;
  // Foreign servers that answer too; both or none.
  engine::Backends* backends = nullptr;
  cluster::BackendTable* backend_table = nullptr;
  // What nodes keep in memory; both or none.
  cluster::PinTable* pins = nullptr;
  const generation::PinKeeper* pin_keeper = nullptr;
  // One of which callers have to show; null: nobody has to.
  security::ApiKeys* api_keys = nullptr;
};

// Add their routes to the router. `dependencies` outlives it: handlers may keep the reference.
// Each lives in its own files (ollama_*, openai_*, responses_*, anthropic_*, openapi*, mirror).
void register_ollama(Router& router, const Dependencies& dependencies);
void register_openai(Router& router, const Dependencies& dependencies);
void register_anthropic(Router& router, const Dependencies& dependencies);
void register_mirror(Router& router, const Dependencies& dependencies);  // See mirror.h.
void register_replicas(Router& router, const Dependencies& dependencies);
void register_backends(Router& router, const Dependencies& dependencies);
void register_pin(Router& router, const Dependencies& dependencies);

// Models that only foreign servers have and that are not among `own`, each once, by name. None if
// the sender uses this node as its backend.
std::vector<engine::ExternalModel> external_models(const Dependencies& dependencies,
                                                   const Context& context,
                                                   const std::vector<store::StoredManifest>& own);

// Sets X-OllamaMax-Node, -Attempts and -Resumed; and -Truncated, if the answer was made without a
// part of the prompt. Call before start().
void set_route_headers(Context& context, const generation::Route& route);
void set_route_headers(Context& context, const model::Embedding& embedding);

class AccessRules;

class Api {
 public:
  explicit Api(Dependencies dependencies);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  http::Handler handler();  // Valid as long as this object.

 private:
  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  bool may_ask(const Context& context) const;

  Dependencies dependencies_;
  std::unique_ptr<const AccessRules> access_;
  Router router_;
};

}  // namespace om::api
