#include "engine/local/launch.h"

#include <algorithm>

#include "base/strings.h"

namespace om::engine {
namespace {

void add_memory_flags(const LaunchOptions& options, std::vector<std::string>& argv) {
  auto add = [&](auto... words) { (argv.emplace_back(words), ...); };
  // Every slot can have its whole context at once: a full shared buffer would end all streams.
  add("-c", std::to_string(options.context_length * options.slots));
  add("-np", std::to_string(options.slots));
  if (options.unified_kv && options.slots > 1) {
    // Idle slots keep their prompts in place; there is room for all of them.
    add("--kv-unified", "--kv-unified-per-slot", std::to_string(options.context_length),
        "--no-cache-idle-slots");
  } else {
    add("--no-kv-unified");
  }
  add("--cache-ram", std::to_string(options.prompt_cache_mib));
  if (options.checkpoints > 0) add("--ctx-checkpoints", std::to_string(options.checkpoints));
  add("-b", std::to_string(std::max(2, options.batch)));  // 1 aborts at the start.
  add("-ub", std::to_string(
                 std::max(2, options.embedding ? options.batch : std::min(options.batch, 512))));
  if (!options.kv_type.empty() && options.kv_type != "f16") {
    add("--cache-type-k", options.kv_type, "--cache-type-v", options.kv_type);
  }
  if (!options.flash_attention.empty()) add("--flash-attn", options.flash_attention);
  if (options.deterministic) {
    add("--no-repack");
    if (options.parts.empty()) add("-ngl", "0");
  } else if (options.parts.empty() && options.gpu_layers && *options.gpu_layers >= 0) {
    add("-ngl", std::to_string(*options.gpu_layers));
  }
  if (options.card_margin_mib > 0 && options.parts.empty()) {
    add("--fit-target", std::to_string(options.card_margin_mib));
  }
  if (options.main_gpu) {
    add("--split-mode", "none", "--main-gpu", std::to_string(*options.main_gpu));
  }
  if (options.use_mmap) add("--load-mode", *options.use_mmap ? "mmap" : "none");
}

// The devices stand in the order of --rpc; counts of blocks are told as proportions.
void add_parts(const LaunchOptions& options, std::vector<std::string>& argv) {
  if (options.parts.empty()) return;
  std::vector<std::string> servers, counts;
  int blocks = 0;
  for (size_t i = 0; i < options.parts.size(); i++) {
    servers.push_back(fmt::format("127.0.0.1:{}", options.part_ports.at(i)));
    counts.push_back(std::to_string(options.parts[i].blocks));
    blocks += options.parts[i].blocks;
  }
  auto add = [&](auto... words) { (argv.emplace_back(words), ...); };
  add("--rpc", join(servers, ","), "-ngl", std::to_string(blocks), "-ts", join(counts, ","));
  add("--fit", "off");
}

}  // namespace

Result<io::SpawnOptions> launch_command(const LaunchOptions& options,
                                        const LaunchSecrets& secrets) {
  if (secrets.socket_path.size() > kSocketPathMax) {
    return fail(
        Errc::invalid_argument,
        "the runtime directory's path is too long for a socket: '{}' has more than {} bytes",
        secrets.socket_path, kSocketPathMax);
  }
  io::SpawnOptions spawn;
  spawn.ends_first = true;  // It has the memory, and is started again.
  std::vector<std::string>& argv = spawn.argv;
  auto add = [&](auto... words) { (argv.emplace_back(words), ...); };
  add(options.program, "-m", options.model_path, "--alias", options.name);
  add("--host", secrets.socket_path, "--offline", "--no-webui", "--no-slots");
  add("--log-colors", "off", "--no-log-timestamps");
  add("--log-verbosity", options.has_cards ? "4" : "3");  // Sizes of buffers are told from 4 on.
  add_memory_flags(options, argv);
  add_parts(options, argv);
  if (options.threads > 0) add("-t", std::to_string(options.threads));
  if (options.embedding) {
    add("--embeddings");
  } else {
    add("--context-shift");  // Who must not shift is bounded per request instead.
  }
  if (!options.adapter_paths.empty()) add("--lora", join(options.adapter_paths, ","));
  if (!options.projector_paths.empty()) {
    add("--mmproj", join(options.projector_paths, ","));
  } else {
    add("--no-mmproj");
  }
  if (!options.draft_path.empty() && options.draft_tokens > 0) {
    add("--spec-draft-model", options.draft_path, "--spec-type", "draft-simple");
    add("--spec-draft-n-max", std::to_string(options.draft_tokens));
  }
  spawn.environment = options.environment;
  spawn.environment.emplace_back("LLAMA_API_KEY", secrets.api_key);
  spawn.environment.emplace_back("LLAMA_MEDIA_MARKER", secrets.media_marker);
  if (options.deterministic) spawn.environment.emplace_back("GGML_CPU_TILED_MM", "0");
  // An aborting child would start a debugger for its backtrace and hang on to its clients.
  spawn.environment.emplace_back("GGML_NO_BACKTRACE", "1");
  // Settings meant for a hand-started llama-server must not reach ours.
  spawn.environment_removed = {"LLAMA_ARG_HOST",          "LLAMA_ARG_PORT",
                               "LLAMA_ARG_MODEL",         "LLAMA_ARG_API_KEY_FILE",
                               "LLAMA_ARG_API_PREFIX",    "LLAMA_SERVER_ROUTER_PORT",
                               "LLAMA_SERVER_SLOTS_DEBUG"};
  return spawn;
}

}  // namespace om::engine
