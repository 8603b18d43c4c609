#include "app/node_parts.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "app/memory_watch.h"
#include "app/own_address.h"
#include "app/revision.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/version.h"
#include "io/loopback.h"
#include "scheduler/gguf_plans.h"
#include "scheduler/node_resources.h"

namespace om::app {
namespace {

constexpr std::string_view kLockName = "lock";

std::string program_directory() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length <= 0) return ".";
  return io::parent(std::string_view(path.data(), static_cast<size_t>(length)));
}

// Nodes that were killed leave their folders; `prefix` is common to those of this user.
void remove_leftovers(io::Filesystem& files, const std::string& parent_directory,
                      const std::string& prefix) {
  const auto names = files.list(parent_directory);
  if (!names) return;  // It need not be readable to work in it.
  for (const std::string& name : *names) {
    pid_t process = 0;
    if (!name.starts_with(prefix)) continue;
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + prefix.size(), end, process);
    if (read.ec != std::errc() || read.ptr != end || process <= 0) continue;
    const bool ended = ::kill(process, 0) != 0 && errno == ESRCH;
    if (!ended && process != ::getpid()) continue;
    const std::string path = io::join(parent_directory, name);
    // A process of another container may hold it under a number that is unknown here.
    const auto lock = files.open(io::join(path, kLockName), io::Filesystem::Open::read_write);
    if (!lock || !(*lock)->lock(true, false)) continue;
    const auto removed = files.remove_all(path);
    if (!removed) log_warn("cannot remove", field("error", removed.error().what));
  }
}

// Where the session's folder for such things is, if it is ours: `su` leaves the variable of whoever
// was there before, and that folder goes with its owner's last session.
std::string runtime_parent() {
  const char* session = std::getenv("XDG_RUNTIME_DIR");
  struct stat info{};
  const bool is_ours =
      session != nullptr && ::stat(session, &info) == 0 && info.st_uid == ::geteuid();
  return is_ours && std::string_view(session).size() < 60 ? session : "/tmp";
}

// A private folder for sockets, short enough for a unix socket's path.
Result<std::string> runtime_directory(io::Filesystem& files, std::shared_ptr<io::File>& lock) {
  const std::string parent_directory = runtime_parent();
  const std::string prefix = fmt::format("ollamamax-{}-", ::getuid());
  remove_leftovers(files, parent_directory, prefix);
  std::string path = fmt::format("{}/{}{}", parent_directory, prefix, ::getpid());
  TRY_VOID(files.make_directories(path));
  TRY_VOID(files.set_mode(path, 0700));
  TRY(lock, files.open(io::join(path, kLockName), io::Filesystem::Open::create));
  TRY_VOID(lock->lock(true, false));
  return path;
}

engine::LaunchOptions launch_options(const Settings& settings, const NodePaths& paths, int cores) {
  engine::LaunchOptions launch;
  launch.program = paths.server_program;
  launch.part_program = paths.part_program;
  launch.runtime_directory = paths.runtime_directory;
  launch.threads = settings.threads > 0 ? static_cast<int>(settings.threads) : cores;
  if (settings.kv_cache_type != "f16") launch.kv_type = settings.kv_cache_type;
  if (settings.flash_attention != "auto") launch.flash_attention = settings.flash_attention;
  if (settings.deterministic) {
    launch.deterministic = true;
    launch.unified_kv = false;
    launch.flash_attention = "off";
  }
  launch.prompt_cache_mib = static_cast<int>(settings.prompt_cache_mib);
  launch.load_stall_max = settings.load_timeout;
  return launch;
}

// Where the runners' programs lie whose sums always come out the same; beside the ordinary ones.
Result<std::string> deterministic_place(io::Filesystem& files, const std::string& place) {
  std::string folder = place + "/../deterministic/bin";
  if (files.exists(folder + "/llama-server")) return folder;
  return fail(Errc::not_found,
              "runner.deterministic: {} has no llama-server (build it with "
              "tools/build_llama.sh deterministic)",
              folder);
}

}  // namespace

Result<NodePaths> find_paths(io::Filesystem& files, const Settings& settings) {
  NodePaths paths;
  std::vector<std::string> places;
  if (!settings.llama_directory.empty()) {
    places = {io::join(settings.llama_directory, "bin"), settings.llama_directory};
  } else {
    const std::string here = program_directory();
    places = {here + "/llama", here + "/../lib/ollamamax", here + "/../lib/ollamamax/bin", here};
  }
  for (const std::string& place : places) {
    if (!files.exists(place + "/llama-server")) continue;
    std::string runners = place;
    if (settings.deterministic) {
      TRY(runners, deterministic_place(files, place));
    }
    paths.server_program = runners + "/llama-server";
    paths.part_program = runners + "/ggml-rpc-server";
    if (!settings.deterministic) paths.cards_program = place + "/ggml-devices";
    paths.quantize_program = place + "/llama-quantize";
    for (const auto* script : {"/convert_hf_to_gguf.py", "/../convert_hf_to_gguf.py"}) {
      if (files.exists(place + script)) paths.convert_script = place + script;
    }
    TRY(paths.runtime_directory, runtime_directory(files, paths.runtime_lock));
    return paths;
  }
  return fail(Errc::not_found,
              "llama-server was not found in {} (set runner.llama_directory, or build it with "
              "./run build)",
              fmt::join(places, ", "));
}

io::Path registry_key_path(const Settings& settings) {
  return io::join(settings.state_directory, "id_ed25519");
}

std::string node_name(const Settings& settings) {
  if (!settings.node_name.empty()) return settings.node_name;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') return "node";
  return to_lower(host.data());  // As a node's name must be; of a host's the case means nothing.
}

namespace {

bool is_built_for_cards(io::Filesystem& files, const io::Path& folder) {
  constexpr std::string_view kBackends[] = {"cuda", "hip", "vulkan", "sycl", "musa"};
  return std::ranges::any_of(kBackends, [&](std::string_view name) {
    return files.exists(io::join(folder, fmt::format("libggml-{}.so", name)));
  });
}

}  // namespace

io::Task<Cards> find_cards(io::World& world, const NodePaths& paths) {
  Cards cards;
  if (paths.cards_program.empty()) co_return cards;
  auto read = co_await engine::read_cards(world, paths.cards_program);
  if (!read) {
    log_warn("no graphics card is used", field("error", read.error()));
    co_return cards;
  }
  const io::Path folder(io::parent(paths.cards_program));
  if (read->empty() && is_built_for_cards(world.files, folder)) {
    log_warn(
        "llama-server is built for graphics cards, but none was found: models run on the "
        "processor until the node is started anew with one",
        field("folder", folder));
  }
  for (const engine::GraphicsCard& card : *read) {
    log_info("graphics card", field("name", card.name), field("description", card.description),
             field("integrated", card.integrated), field("total", card.total_bytes),
             field("free", card.free_bytes));
  }
  co_return std::move(*read);
}

Result<std::unique_ptr<scheduler::LocalScheduler>> make_scheduler(io::World& world,
                                                                  const Settings& settings,
                                                                  const NodePaths& paths,
                                                                  const Cards& cards) {
  const auto resources = scheduler::read_node_resources(world.files);
  const uint64_t most = resources.memory_for_models();
  if (most == 0) {
    return fail(Errc::unsupported, "this machine's memory size is unknown: /proc is missing");
  }
  if (settings.memory_reserve >= most) {
    return fail(Errc::invalid_argument,
                "runner.memory_reserve (OLLAMA_GPU_OVERHEAD): {} bytes leave no memory for models, "
                "which may take {} here",
                settings.memory_reserve, most);
  }
  scheduler::LocalSchedulerOptions options;
  options.name = node_name(settings);
  options.launch = launch_options(settings, paths, resources.cores);
  options.processors = resources.processors;
  options.memory_total = most;
  const uint64_t margin = scheduler::kCardMargin + settings.memory_reserve;
  const size_t own_cards = scheduler::own_cards(cards);
  const bool has_cards = own_cards > 0;
  options.launch.has_cards = !cards.empty();
  if (has_cards) {
    // Ollama's OLLAMA_GPU_OVERHEAD is one of cards; where there are none, of main memory.
    options.launch.card_margin_mib = static_cast<int>(margin >> 20);
  } else {
    options.memory_total -= settings.memory_reserve;
    options.memory_reserve = settings.memory_reserve;
  }
  if (settings.context_length > 0) {
    options.default_context = static_cast<int>(settings.context_length);
  }
  options.loaded_max = static_cast<int>(settings.loaded_max);
  options.num_parallel = static_cast<int>(settings.parallel);
  options.queue_max = static_cast<size_t>(settings.queue_max);
  options.keep_alive = settings.keep_alive;

  scheduler::GgufPlanOptions plan_options;
  plan_options.launch = options.launch;
  plan_options.num_parallel = static_cast<int>(settings.parallel);
  plan_options.memory_total = options.memory_total;
  auto plans = std::make_unique<scheduler::GgufPlans>(world, std::move(plan_options));
  auto scheduler = std::make_unique<scheduler::LocalScheduler>(
      world, std::move(options), engine::local_engines(world), std::move(plans));
  const uint64_t left = sample_memory(world.files).left_bytes;
  scheduler->note_memory_left(left);
  if (has_cards) {
    scheduler->use_graphics(
        std::make_unique<scheduler::CardMemory>(world, paths.cards_program, margin, own_cards),
        scheduler::memory_left(cards, margin));
  }
  const uint64_t memory = scheduler->memory_total();
  log_info("resources", field("memory_for_models", memory), field("cores", resources.cores),
           field("processors", resources.processors));
  // What was right yesterday must not keep a node from starting on a busier day.
  if (memory == 0) {
    log_warn("no memory is free for models now", field("left", left),
             field("reserve", settings.memory_reserve));
  }
  return scheduler;
}

io::Task<Result<std::vector<ListenAddress>>> find_listen_addresses(io::NameService& names,
                                                                   const Settings& settings,
                                                                   io::Call call) {
  std::vector<ListenAddress> listen;
  for (const std::string& address : settings.listen) {
    CO_TRY(HostPort host, parse_host(address));
    io::Endpoint at = io::Endpoint::tcp(host.host, host.port);
    const auto is_v4 = [](std::string_view text) {
      return text.find_first_not_of("0123456789.") == text.npos;
    };
    const bool is_name = !is_v4(at.host) && !at.host.contains(':') && at.host != "localhost";
    if (is_name) {
      auto found = co_await names.lookup(at, call);
      if (!found) co_return fail(annotate(found.error(), "server.listen (OLLAMA_HOST)"));
      const auto v4 = std::ranges::find_if(*found, is_v4, &io::Endpoint::host);
      at = v4 == found->end() ? found->front() : *v4;
    }
    listen.push_back({std::move(host), std::move(at)});
  }
  co_return listen;
}

api::Settings make_api_settings(const Settings& settings, const std::string& name,
                                const std::vector<ListenAddress>& listen) {
  api::Settings api;
  api.version = kVersion;
  api.revision = kRevision;
  api.node_name = name;
  api.body_bytes_max = settings.body_bytes_max;
  api.origins = settings.origins;
  api.host_names = machine_addresses();
  for (const std::string& text : settings.key_weights) {
    if (const auto weight = parse_key_weight(text)) api.key_weights.insert(*weight);
  }
  api.check_host = true;
  for (const ListenAddress& address : listen) {
    api.host_names.push_back(address.named.host);
    if (!io::is_loopback(address.at.host)) api.check_host = false;
  }
  return api;
}

Result<std::shared_ptr<const io::Tls>> make_server_tls(const Settings& settings,
                                                       const std::vector<ListenAddress>& listen) {
  const bool is_wanted = std::ranges::any_of(listen, &ListenAddress::is_secure);
  const bool has_one = !settings.tls_certificate_file.empty();
  if (is_wanted && !has_one) {
    return fail(Errc::invalid_argument,
                "server.listen (OLLAMA_HOST): https:// needs server.tls_certificate_file "
                "(OLLAMAMAX_TLS_CERTIFICATE_FILE)");
  }
  if (has_one && !is_wanted) {
    return fail(Errc::invalid_argument,
                "server.tls_certificate_file (OLLAMAMAX_TLS_CERTIFICATE_FILE): no address of "
                "server.listen (OLLAMA_HOST) begins with https://");
  }
  if (!is_wanted) return nullptr;
  auto tls = std::make_shared<io::Tls>();
  tls->certificate_file = settings.tls_certificate_file;
  tls->key_file =
      settings.tls_key_file.empty() ? settings.tls_certificate_file : settings.tls_key_file;
  return tls;
}

}  // namespace om::app
