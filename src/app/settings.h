// Everything a user can set, with defaults; from one TOML file, OLLAMA_* variables and flags.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace om::app {

// A setting of the file that a variable overrides.
struct Overruled {
  std::string key, file, variable;  // `file`: with the line.
};

// The values themselves. Read once at start; immutable afterwards.
struct Settings {
  std::string node_name;  // Empty: this machine's host name.
  std::string state_directory;

  std::vector<std::string> listen;
  std::string tls_certificate_file, tls_key_file;  // Of addresses that begin with https://.
  std::string api_keys_file;                       // Empty: callers need no key.
  std::vector<std::string> origins;
  uint64_t body_bytes_max = 0;
  int64_t connections_max = 0;
  std::chrono::nanoseconds shutdown_delay{};
  std::chrono::nanoseconds drain_time{};

  std::string models_directory;
  bool prune = true;

  std::string llama_directory;  // Holds llama-server, llama-quantize and their libraries.
  int64_t parallel = 0;
  int64_t loaded_max = 0;
  int64_t queue_max = 0;
  std::vector<std::string> key_weights;   // "NAME=WEIGHT".
  std::chrono::nanoseconds keep_alive{};  // Negative: for ever.
  std::chrono::nanoseconds load_timeout{};
  int64_t context_length = 0;
  std::string flash_attention, kv_cache_type;
  int64_t threads = 0;
  int64_t prompt_cache_mib = 0;
  uint64_t memory_reserve = 0;
  bool prefer_jinja = false;
  bool resume = true;
  bool deterministic = false;

  std::string cluster_listen, cluster_advertise, etcd_program;
  std::vector<std::string> etcd_endpoints;  // URLs of the user's own etcd; empty: nodes run one.
  std::string etcd_ca_file, etcd_certificate_file, etcd_key_file, etcd_prefix;
  std::chrono::nanoseconds certificate_life{};
  std::vector<std::string> cluster_discover;
  bool announce_mdns = false;
  size_t voters = 3;
  bool cluster_required = false;
  size_t direct_reports_max = 64;  // Nodes.
  bool one_port = true;
  size_t standby_runners = 0;
  std::chrono::nanoseconds node_grace{}, surplus_grace{};
  uint64_t receive_rate_max = 0, send_rate_max = 0;  // Bytes a second; 0: no cap.

  std::string https_proxy, http_proxy;  // For registries and foreign servers.
  std::vector<std::string> no_proxy;

  std::string log_level, log_format;

  std::vector<Overruled> overruled;
};

// Where a value came from, for `config show`.
enum class Source { default_value, file, environment, flag };
std::string_view to_string(Source source);

// One line of `config show`: the key, its value as TOML, where it came from and what it is for.
struct SettingView {
  std::string key, value, from, help, variable;
};

// The given values by key, from which Settings are made. Later layers override earlier ones.
class Config {
 public:
  // Looks up a variable of the environment; nullptr if unset.
  using Environment = std::function<const char*(const char*)>;

  Config();

  // invalid_argument: not TOML, an unknown key (with the nearest known one), or a wrong type; with
  // file and line. The text is taken whole or not at all.
  Result<void> apply_file(std::string_view text, std::string_view path);

  // Ollama's variables and ours. A value that cannot be understood is an error; but an unusable
  // proxy fails only when it is used.
  Result<void> apply_environment(const Environment& environment);

  // `text`: the value as in the file, without quotes and brackets (a variable of Ollama may say the
  // opposite).
  Result<void> set(std::string_view key, std::string_view text, Source source,
                   std::string_view from);

  // Call when all values are set. invalid_argument: settings contradict each other, or a proxy from
  // the file or a flag cannot be used.
  Result<void> check() const;

  const Settings& settings() const { return settings_; }
  std::vector<SettingView> view() const;
  std::string example() const;  // A complete file with every key, its default and its help.

 private:
  struct Origin {
    Source source = Source::default_value;
    std::string from;
  };
  Result<void> check_proxy(std::string_view key, const std::string& url) const;

  Settings settings_;
  std::map<std::string, Origin, std::less<>> origins_;
};

// Splits "NAME=WEIGHT". invalid_argument: NAME is not 16 hexadecimal digits, or WEIGHT no weight.
Result<std::pair<std::string, double>> parse_key_weight(std::string_view text);

// Splits "host", "host:port", "http://host:port" or ":port" as Ollama splits OLLAMA_HOST.
struct HostPort {
  std::string scheme = "http", host, path;
  uint16_t port = 0;
};
Result<HostPort> parse_host(std::string_view text);
// The same for cluster.listen: the default port is that between nodes, and ":port" means all
// addresses.
Result<HostPort> parse_peer_listen(std::string_view text);

}  // namespace om::app
