// How one llama-server child is started: our options as its command line and environment.
// https://github.com/ggml-org/llama.cpp/tree/master/tools/server (README, "Usage")
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/split/split_plan.h"
#include "io/processes.h"

namespace om::engine {

struct LaunchOptions {
  std::string program;            // Path of llama-server.
  std::string runtime_directory;  // For the socket; made with mode 0700.
  std::string name;               // The model's, for messages.
  std::string model_path;
  std::vector<std::string> adapter_paths, projector_paths;
  std::string draft_path;
  int draft_tokens = 4;  // Used with a draft model only; 0: it is not loaded.

  int context_length = 4096;  // Tokens of one slot.
  int slots = 1;
  // One KV buffer for all slots: smaller for sliding-window models, and prompts and answers mix in
  // one batch. Results then depend on the other slots: exact repetition needs `false`.
  bool unified_kv = true;
  // Results that depend neither on the batch nor on the cache: a greedy answer repeats exactly, and
  // goes on elsewhere exactly. Prompts are read half as fast. Needs processor libraries built with
  // GGML_LLAMAFILE=OFF, unified_kv false, flash_attention "off" and no cards (measured: without any
  // one of these, log probabilities differ).
  bool deterministic = false;
  int batch = 512;
  int threads = 0;  // 0: the runner picks.
  bool embedding = false;
  std::string kv_type;          // Empty: f16.
  std::string flash_attention;  // "on", "off", or empty: the runner picks.
  int prompt_cache_mib = 0;     // RAM for prompts that lost their slot.
  int checkpoints = 0;  // For models that cannot go back in their context. 0: the runner picks.
  std::optional<int> gpu_layers, main_gpu;
  bool has_cards = false;   // If set, the runner tells what it puts on graphics cards.
  int card_margin_mib = 0;  // To leave free on each graphics card; 0: the runner's own margin.
  std::optional<bool> use_mmap;
  std::vector<std::pair<std::string, std::string>> environment;

  // Of a split model: its parts on other nodes, and the loopback ports that lead to them.
  std::vector<PartShare> parts;
  std::vector<uint16_t> part_ports;
  // Not a model but a part of another node's model: ggml-rpc-server instead of llama-server.
  bool is_part = false;
  std::string part_program;

  uint64_t weight_bytes = 0;  // Of all files, for the progress of a load. 0: unknown.

  std::chrono::nanoseconds load_stall_max = std::chrono::minutes(5);  // <= 0: no limit.
  std::chrono::nanoseconds stop_grace = std::chrono::seconds(5);
  // How long a child that answers /health may bring no token before it counts as wedged: 8 times
  // its usual time, at least `floor`; `first` until enough is known.
  std::chrono::nanoseconds stall_floor = std::chrono::seconds(10);
  std::chrono::nanoseconds stall_first = std::chrono::seconds(120);
  std::chrono::nanoseconds prefill_stall_floor = std::chrono::seconds(60);
  std::chrono::nanoseconds prefill_stall_first = std::chrono::minutes(5);  // For 512 tokens.
  // The same for a child whose threads do nothing at all meanwhile. Not used with cards or with
  // parts on other machines, which threads do not show. <= 0: no limit.
  std::chrono::nanoseconds idle_stall = std::chrono::seconds(10);
};

inline constexpr size_t kSocketPathMax = 107;  // sun_path without its final zero.

// What differs from start to start. Never in argv, which other users can read.
struct LaunchSecrets {
  std::string socket_path, api_key, media_marker;
};

// invalid_argument: the socket path is too long for a unix socket.
Result<io::SpawnOptions> launch_command(const LaunchOptions& options, const LaunchSecrets& secrets);

}  // namespace om::engine
