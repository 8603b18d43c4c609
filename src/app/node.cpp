#include "app/node.h"

#include <sys/resource.h>
#include <unistd.h>

#include "app/metrics.h"
#include "app/node_parts.h"
#include "app/own_address.h"
#include "app/own_facts.h"
#include "app/revision.h"
#include "app/run_node.h"
#include "base/log.h"
#include "base/version.h"
#include "io/loopback.h"
#include "security/registry_key.h"

namespace om::app {
namespace {

constexpr std::chrono::seconds kBackendsCheckMax{1};  // That a start waits for them.
constexpr std::chrono::seconds kLookupMax{30};        // Of names to listen on.
constexpr std::chrono::milliseconds kSettleLook{200};

}  // namespace

void Node::stop() {
  stopping_ = true;
  stop_event_.notify_all();
}

io::Task<Result<void>> Node::build() {
  CO_TRY(const NodePaths paths, find_paths(world_.files, settings_));
  if (!settings_.api_keys_file.empty()) {
    auto keys = security::ApiKeys::open(world_, settings_.api_keys_file);
    if (!keys) co_return fail(annotate(keys.error(), "server.api_keys_file"));
    api_keys_ = std::move(*keys);
  }
  name_ = node_name(settings_);
  CO_TRY(listen_,
         co_await find_listen_addresses(names_, settings_, world_.clock.call_within(kLookupMax)));
  client_ = std::make_unique<http::Client>(world_);
  http::Proxies proxies(
      {.https = settings_.https_proxy, .http = settings_.http_proxy, .none = settings_.no_proxy});
  for (const std::string& url : {settings_.https_proxy, settings_.http_proxy}) {
    const auto usable = http::check_proxy(url);
    if (usable) continue;
    log_warn("proxy cannot be used, what would go through it fails",
             field("error", usable.error()));
  }
  client_->use_proxies(std::move(proxies));
  auto store = co_await store::Store::open(world_, settings_.models_directory, settings_.prune);
  if (!store) co_return fail(annotate(store.error(), "models.directory (OLLAMA_MODELS)"));
  store_ = std::move(*store);
  const Cards cards = co_await find_cards(world_, paths);
  CO_TRY(local_scheduler_, make_scheduler(world_, settings_, paths, cards));
  scheduler_ = local_scheduler_.get();
  models_ = store_.get();
  transfer::TransferOptions transfer_options;
  transfer_options.key_path = registry_key_path(settings_);
  transfer_options.uploads_file = io::join(settings_.state_directory, "uploads.json");
  transfer_options.quantize_program = paths.quantize_program;
  transfer_options.convert_script = paths.convert_script;
  transfer_options.prune = settings_.prune;
  transfer_options.temporary_directory = io::join(settings_.models_directory, "tmp");
  CO_TRY_VOID(co_await enter_cluster(transfer_options));
  transfer_ = cluster_ ? transfer::make_transfer(cluster_->distribution())
                       : transfer::make_transfer(world_, *store_, *client_, transfer_options);

  generation::GenerationOptions generation_options;
  generation_options.node_name = name_;
  generation_options.default_context = static_cast<int>(settings_.context_length);
  generation_options.prefer_jinja = settings_.prefer_jinja;
  generation_options.resume = settings_.resume;
  generation_options.records = make_records();
  own_generation_ = generation::make_generation(world_, *models_, *scheduler_, generation_options);
  CO_TRY_VOID(co_await open_backends());
  CO_TRY_VOID(co_await open_pins());
  generation_ = std::make_unique<generation::FederatedGeneration>(
      world_, *models_, *own_generation_, *backends_, generation_options.records);

  api::Settings api_settings = make_api_settings(settings_, name_, listen_);
  api_settings.ready = [this] { return ready(); };
  api_settings.shedding = [this] { return memory_watch_ && memory_watch_->shedding(); };
  api_ = std::make_unique<api::Api>(api::Dependencies{
      world_, *models_, *scheduler_, *generation_, *transfer_, std::move(api_settings),
      admin_.get(), cluster_ ? &cluster_->distribution() : nullptr, backends_.get(),
      backend_table_.get(), pin_table_.get(), pin_keeper_.get(), api_keys_.get()});
  http::ServerLimits limits;
  limits.connections_max = static_cast<size_t>(settings_.connections_max);
  limits.body_bytes_max = settings_.body_bytes_max;
  server_ = std::make_unique<http::Server>(world_, limits, api_->handler());
  memory_watch_ = std::make_unique<MemoryWatch>(
      world_, [this](uint64_t left) { local_scheduler_->note_memory_left(left); });
  NodeHealth::Folders folders{settings_.models_directory, settings_.state_directory};
  health_ = std::make_unique<NodeHealth>(world_, name_, std::move(folders), cluster_.get());
  runtime_directory_ = paths.runtime_directory;
  runtime_lock_ = paths.runtime_lock;
  co_return Result<void>{};
}

generation::Records* Node::make_records() {
  if (!cluster_) {
    records_ = std::make_unique<generation::NodeRecords>(
        world_, *client_, [] { return std::vector<engine::PeerLink>(); });
    return records_.get();
  }
  records_ = std::make_unique<generation::NodeRecords>(world_, cluster_->peer_client(),
                                                       [this] { return cluster_->peers(); });
  cluster_->serve(
      std::string(generation::kRecordsPath),
      [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
        return records_->handle(request, body, response);
      });
  return records_.get();
}

io::Task<Result<void>> Node::enter_cluster(transfer::TransferOptions options) {
  const io::Path directory = cluster_directory(settings_.state_directory);
  auto state = load_cluster_state(world_.files, directory);
  auto restart = [this] {
    restart_ = true;
    stop_event_.notify_all();
  };
  if (state) {
    name_ = state->name;  // Its certificate says so, whatever the machine is called now.
    // An address that was found is followed later: the network may not be there yet.
    const auto found_then = [host = state->advertise.host] {
      return OwnNetwork{.addresses = {host}, .outward = {}};
    };
    if (follow_address(*state, settings_, found_then)) {
      log_info("other nodes are told where this one is", field("address", state->advertise.str()));
      const auto saved = save_cluster_state(world_.files, directory, *state);
      // It is looked at once more at the next start.
      if (!saved) log_warn("the state is not saved", field("error", saved.error()));
    }
    cluster_ = std::make_unique<ClusterParts>(world_, settings_, *store_, std::move(*state),
                                              directory, voters_);
    cluster_->on_change_of_role(
        restart, [this] { return server_ != nullptr && server_->requests_running() > 0; });
    CO_TRY_VOID(co_await open_cluster(std::move(options)));
    scheduler_ = &cluster_->scheduler();
    models_ = &cluster_->store();
  } else if (state.error().code != Errc::not_found) {
    co_return fail(std::move(state).error());
  }
  if (!cluster_) {
    CO_TRY(own_facts_, co_await open_own_facts(world_, voters_, settings_.state_directory));
  }
  ClusterAdmin::Hooks hooks{restart, [this] { return ready(); }};
  admin_ = std::make_unique<ClusterAdmin>(world_, names_, settings_, name_, cluster_.get(),
                                          own_facts_.get(), voters_, std::move(hooks));
  co_return Result<void>{};
}

// In the cluster's folder, so that it goes with the cluster; earlier versions kept it beside that.
io::Path Node::copy_of_facts(std::string_view name, std::string_view earlier) {
  const io::Path old = io::join(settings_.state_directory, earlier);
  const io::Path copy = io::join(cluster_directory(settings_.state_directory), name);
  if (world_.files.exists(old)) {
    const bool is_of_this = cluster_ && !world_.files.exists(copy);
    const auto gone = is_of_this ? world_.files.rename(old, copy) : world_.files.remove(old);
    if (!gone) log_warn("an old copy of facts stays", field("error", gone.error()));
  }
  return cluster_ ? copy : io::Path();
}

io::Task<Result<void>> Node::open_backends() {
  backends_ = std::make_unique<engine::Backends>(world_, *client_);
  cluster::BackendTable::FetchKey fetch;
  if (cluster_) {
    fetch = [this](std::string name, io::Call call) {
      return cluster_->fetch_backend_key(std::move(name), std::move(call));
    };
  }
  const io::Path copy = copy_of_facts("backends.json", "cluster-backends.json");
  backend_table_ = std::make_unique<cluster::BackendTable>(
      world_, *backends_, settings_.state_directory, cluster_ ? cluster_->metadata() : *own_facts_,
      copy, std::move(fetch), name_);
  if (cluster_) cluster_->serve_backend_keys(*backend_table_);
  if (cluster_ && world_.files.exists(own_facts_file(settings_.state_directory))) {
    CO_TRY_VOID(backend_table_->set_keys_aside());
  }
  backend_table_->start();
  const io::Duration patience = cluster_ ? kBackendsCheckMax : metadata::kCallMax;
  auto synced = co_await backend_table_->wait_synced(world_.clock.call_within(patience));
  if (!synced && !cluster_) co_return synced;
  // Else their models would be unknown at first.
  co_await backends_->wait_checked(world_.clock.call_within(kBackendsCheckMax, tasks_.token()));
  co_return Result<void>{};
}

io::Task<Result<void>> Node::open_pins() {
  cluster::PinTable::HasNode has_node;
  if (cluster_) {
    has_node = [this](const std::string& name) {
      return cluster_->members().find(name) != nullptr;
    };
  }
  const io::Path copy = copy_of_facts("pins.json", "cluster-pins.json");
  pin_table_ = std::make_unique<cluster::PinTable>(
      world_, cluster_ ? cluster_->metadata() : *own_facts_, name_, copy, std::move(has_node));
  generation::PinKeeper::Options options{
      .loader = cluster_ ? &cluster_->own_scheduler() : nullptr,
      .default_context = static_cast<int>(settings_.context_length)};
  pin_keeper_ = std::make_unique<generation::PinKeeper>(world_, *models_, *local_scheduler_,
                                                        *pin_table_, options);
  pin_table_->start();
  if (!cluster_) {
    co_return co_await pin_table_->take_over(world_.clock.call_within(metadata::kCallMax));
  }
  tasks_.spawn(bring_own_facts());
  co_return Result<void>{};
}

io::Task<void> Node::bring_own_facts() {
  constexpr std::chrono::seconds kAgainAfter{5};
  const io::Call call{io::kNever, tasks_.token()};
  bool pins_moved = false;
  while (world_.files.exists(own_facts_file(settings_.state_directory))) {
    const auto done = co_await move_own_facts(pins_moved, call);
    if (done) co_return;
    const Errc code = done.error().code;
    const bool may_pass = retryable(code) || code == Errc::deadline_exceeded;
    log_warn(may_pass ? "this node's own backends and pins are not the cluster's yet"
                      : "this node's own backends and pins are not the cluster's until it starts "
                        "again",
             field("error", done.error()));
    if (!may_pass || !co_await world_.clock.sleep_for(kAgainAfter, call)) co_return;
  }
}

bool Node::ready() const {
  if (!cluster_) return ready_ && !settings_.cluster_required;
  return ready_ && cluster_->knows_facts() && !cluster_->was_removed();
}

io::Task<Result<void>> Node::move_own_facts(bool& pins_moved, io::Call call) {
  CO_TRY(auto own, co_await read_own_facts(world_, voters_, settings_.state_directory, call));
  // A pin means a model, whatever that is called here.
  while (!cluster_->has_settled()) CO_TRY_VOID(co_await world_.clock.sleep_for(kSettleLook, call));
  const auto& renamed = cluster_->distribution().replicas().renamed();
  // Once: somebody may have ended one since.
  if (!pins_moved) CO_TRY_VOID(co_await pin_table_->adopt(own, renamed, call));
  pins_moved = true;
  CO_TRY_VOID(co_await backend_table_->adopt(std::move(own), call));
  CO_TRY_VOID(remove_own_facts(world_.files, settings_.state_directory));
  co_return backend_table_->forget_keys_aside();
}

io::Task<Result<void>> Node::open_cluster(transfer::TransferOptions options) {
  CO_TRY(const HostPort host, parse_peer_listen(settings_.cluster_listen));
  auto opened = co_await cluster_->open(io::Endpoint::tcp(host.host, host.port), *local_scheduler_,
                                        *client_, std::move(options));
  if (opened || opened.error().code != Errc::already_exists) co_return opened;
  co_return fail(Errc::already_exists,
                 "{} (another node runs here? Choose another address with "
                 "OLLAMAMAX_CLUSTER_LISTEN)",
                 opened.error().what);
}

Result<void> Node::listen() {
  TRY(const auto tls, make_server_tls(settings_, listen_));
  if (cluster_) cluster_->serve_nodes();
  for (const ListenAddress& address : listen_) {
    auto bound = server_->listen(address.at, address.is_secure() ? tls : nullptr);
    if (!bound && bound.error().code == Errc::already_exists) {
      return fail(Errc::already_exists,
                  "{} (is Ollama or another node running? Choose another port with OLLAMA_HOST)",
                  bound.error().what);
    }
    if (!bound) return fail(annotate(bound.error(), "server.listen (OLLAMA_HOST)"));
    log_info("listening", field("address", bound->str()), field("tls", address.is_secure()),
             field("version", kVersion), field("revision", kRevision));
    if (!io::is_loopback(address.at.host) && !api_keys_) {
      log_warn("this address is open to everyone who can reach it", field("address", bound->str()));
    }
  }
  return {};
}

io::Task<void> Node::take_down() {
  const bool ready_was = std::exchange(ready_, false);
  if (pin_keeper_) co_await pin_keeper_->stop();  // Nothing is loaded any more.
  if (cluster_) cluster_->begin_drain();
  if (ready_was && !restart_ && settings_.shutdown_delay.count() > 0) {
    log_info("not ready any more, serving on", field("time", settings_.shutdown_delay));
    // Only a broken clock ends it early.
    (void)co_await world_.clock.sleep_for(settings_.shutdown_delay);
  }
  const io::TimePoint drained = world_.clock.now() + settings_.drain_time;
  if (server_) {
    if (ready_was) log_info("draining", field("requests", server_->requests_running()));
    co_await server_->stop(settings_.drain_time);
  }
  if (memory_watch_) co_await memory_watch_->stop();
  if (health_) co_await health_->stop();
  co_await tasks_.stop();
  if (transfer_) co_await transfer_->stop();
  if (pin_table_) co_await pin_table_->stop();
  if (backend_table_) co_await backend_table_->stop();
  if (backends_) co_await backends_->stop();
  if (cluster_) {
    if (ready_was) co_await cluster_->drain(drained - world_.clock.now());
    co_await cluster_->stop();
  }
  if (own_facts_) co_await own_facts_->stop();
  if (scheduler_) co_await scheduler_->stop();
  if (client_) client_->close_idle();
  if (!runtime_directory_.empty()) {
    const auto removed = world_.files.remove_all(runtime_directory_);
    if (!removed) log_warn("cannot remove", field("error", removed.error().what));
  }
}

io::Task<Result<void>> Node::run(std::function<void()> on_ready) {
  auto built = co_await build();
  if (built) built = listen();
  if (built) {
    ready_ = true;
    if (!cluster_ && settings_.cluster_required) {
      log_warn("not ready: in no cluster, and cluster.required is set");
    }
    memory_watch_->start();
    health_->start();
    pin_keeper_->start();
    on_ready();
    while (!stopping_ && !restart_) {
      const auto woken = co_await stop_event_.wait();
      if (!woken) break;
    }
  }
  co_await take_down();
  co_return built;
}

namespace {

io::Task<void> run_into(io::RealWorld& real, Node& node, Result<void>& result) {
  int signals = 0;
  const auto on_signal = [&node, &signals](int) {
    node.stop();
    if (++signals > 1) {
      log_warn("second signal: ending at once");
      ::_exit(1);  // Children die with us.
    }
  };
  result = co_await node.run([&] { real.on_signal({SIGTERM, SIGINT}, on_signal); });
}

// Before a registry asks for it: its owner has to tell the registry first. Without it a node does
// all but that.
void make_registry_key(io::World& world, const Settings& settings) {
  const io::Path path = registry_key_path(settings);
  const bool is_new = !world.files.exists(path);
  const auto key = security::RegistryKey::load_or_make(world.files, world.random, path);
  if (!key) {
    log_warn("no key for registries that want one", field("error", key.error()));
  } else if (is_new) {
    log_info("made a key for registries", field("file", path + ".pub"),
             field("key", key->public_text()));
  }
}

// One descriptor a client and one a runner: as many as the system lets us have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log_warn("the descriptor limit stays as it is");
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;  // What holds, not what was wanted.
  descriptors_max.set(static_cast<double>(limit.rlim_cur));
}

}  // namespace

Result<void> run_node(const Settings& settings) {
  const auto level = parse_log_level(settings.log_level);
  if (level) set_log_level(*level);
  set_log_format(settings.log_format == "json" ? LogFormat::json : LogFormat::text);
  for (const Overruled& one : settings.overruled) {
    log_warn("a variable overrules the configuration file", field("key", one.key),
             field("file", one.file), field("variable", one.variable));
  }
  raise_descriptor_limit();
  Result<void> result;
  bool again = true;
  while (again) {
    io::RealWorld real;
    make_registry_key(real.world(), settings);
    Node node(real.world(), real.names(), settings, etcd_voters());
    real.run_until_done(run_into(real, node, result));
    again = result && node.wants_restart();
    // Beside what is printed in the end: who reads the log of a service reads no more than that.
    if (!result) log_error("the start failed", field("error", result.error()));
    log_info(again ? "starting anew" : "stopped");
  }
  return result;
}

}  // namespace om::app
