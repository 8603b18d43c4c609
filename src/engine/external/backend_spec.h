// A foreign server whose models we offer: an Ollama, llama-server, vLLM, or anything that speaks
// OpenAI's API. A fact that all nodes know; its key is not part of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace om::engine {

enum class BackendKind { unknown, ollama, llama_server, vllm, openai };
std::string_view to_string(BackendKind kind);                   // "ollama", "llama-server", ...
Result<BackendKind> parse_backend_kind(std::string_view text);  // Empty: unknown, to be found out.

struct BackendSpec {
  std::string name;  // Unique; used in lists and headers.
  std::string url;   // Without the path that the API adds ("/v1", "/api").
  BackendKind kind = BackendKind::unknown;
  std::vector<std::string> models;  // Only these are offered; empty: all it has.
  std::string key_digest;           // SHA-256 of its key; empty: it has none.
  std::string node;                 // The only one of our nodes that asks it; empty: all do.
  bool operator==(const BackendSpec&) const = default;
};

inline constexpr size_t kBackendNameMax = 64;
inline constexpr size_t kBackendModelsMax = 1000;
// Larger counts of tokens that a backend tells are cut to this, since we add them up.
inline constexpr int64_t kBackendTokensMax = int64_t{1} << 40;
// Sent with every request to a backend. An OllamaMax that gets it answers with its own models only:
// two nodes that are each other's backends would ask in circles, and list models that nobody has.
inline constexpr std::string_view kForwardedHeader = "X-OllamaMax-Forwarded";

// invalid_argument: no http or https URL. A URL may end in "/v1" or "/": that is taken off. The
// name is made of host and port, unless one is given.
Result<BackendSpec> make_backend(std::string_view url, std::string name);
// Its URL leads to whichever machine asks it: on another one it is another server, or nobody's.
bool is_on_own_machine(const BackendSpec& spec);
std::string write_backend(const BackendSpec& spec);
Result<BackendSpec> read_backend(std::string_view json);  // corrupt.

}  // namespace om::engine
