#include "app/setting_table.h"

#include "base/duration.h"
#include "base/strings.h"
#include "cluster/discovery.h"
#include "http/message.h"
#include "http/proxy.h"

namespace om::app {
namespace {

using std::chrono::nanoseconds;
using Strings = std::vector<std::string>;

std::unexpected<Error> wrong_type(std::string_view expected) {
  return fail(Errc::invalid_argument, "expected {}", expected);
}

template <std::string Settings::* member>
Result<void> set_text(Settings& settings, const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return wrong_type("a string");
  settings.*member = *text;
  return {};
}
template <std::string Settings::* member>
SettingValue get_text(const Settings& settings) {
  return settings.*member;
}

template <auto member, int64_t minimum, int64_t maximum>
Result<void> set_number(Settings& settings, const SettingValue& value) {
  const auto* number = std::get_if<int64_t>(&value);
  if (number == nullptr) return wrong_type("a whole number");
  if (*number < minimum || *number > maximum) {
    return fail(Errc::invalid_argument, "expected a number from {} to {}", minimum, maximum);
  }
  settings.*member = static_cast<std::remove_reference_t<decltype(settings.*member)>>(*number);
  return {};
}
template <auto member>
SettingValue get_number(const Settings& settings) {
  return static_cast<int64_t>(settings.*member);
}

template <bool Settings::* member>
Result<void> set_bool(Settings& settings, const SettingValue& value) {
  const auto* flag = std::get_if<bool>(&value);
  if (flag == nullptr) return wrong_type("true or false");
  settings.*member = *flag;
  return {};
}
template <bool Settings::* member>
SettingValue get_bool(const Settings& settings) {
  return settings.*member;
}

template <Strings Settings::* member>
Result<void> set_list(Settings& settings, const SettingValue& value) {
  const auto* list = std::get_if<Strings>(&value);
  if (list == nullptr) return wrong_type("a list of strings");
  settings.*member = *list;
  return {};
}
template <Strings Settings::* member>
SettingValue get_list(const Settings& settings) {
  return settings.*member;
}

Result<nanoseconds> read_duration(const SettingValue& value) {
  if (const auto* seconds = std::get_if<int64_t>(&value)) {
    if (*seconds > 1'000'000'000) return wrong_type("less than 1000000000 seconds");
    return std::chrono::seconds(std::max<int64_t>(*seconds, -1));
  }
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return wrong_type("a duration such as \"5m\", or seconds");
  if (const auto seconds = parse_number<int64_t>(*text)) return read_duration(*seconds);
  return parse_duration(*text);
}

// `endless`: a negative one means that it never ends.
template <nanoseconds Settings::* member, bool endless = false>
Result<void> set_duration(Settings& settings, const SettingValue& value) {
  TRY(const nanoseconds duration, read_duration(value));
  if (!endless && duration.count() < 0) return wrong_type("a duration that is not negative");
  settings.*member = duration;
  return {};
}
template <nanoseconds Settings::* member>
SettingValue get_duration(const Settings& settings) {
  return format_duration(settings.*member);
}

Result<void> set_listen(Settings& settings, const SettingValue& value) {
  const auto* list = std::get_if<Strings>(&value);
  if (list == nullptr || list->empty()) return wrong_type("a list of addresses, not empty");
  for (const std::string& address : *list) TRY_VOID(parse_host(address));
  settings.listen = *list;
  return {};
}

Result<void> set_cluster_listen(Settings& settings, const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr || text->empty()) return wrong_type("an address such as \"0.0.0.0:11435\"");
  TRY_VOID(parse_peer_listen(*text));
  settings.cluster_listen = *text;
  return {};
}

Result<void> set_key_weights(Settings& settings, const SettingValue& value) {
  const auto* list = std::get_if<Strings>(&value);
  if (list == nullptr) return wrong_type("a list of strings");
  for (const std::string& weight : *list) TRY_VOID(parse_key_weight(weight));
  settings.key_weights = *list;
  return {};
}

Result<void> set_etcd_endpoints(Settings& settings, const SettingValue& value) {
  const auto* list = std::get_if<Strings>(&value);
  if (list == nullptr) return wrong_type("a list of strings");
  std::string scheme;
  for (const std::string& text : *list) {
    TRY(const http::Url url, http::Url::parse(text));
    if (!scheme.empty() && url.scheme != scheme) return wrong_type("http:// for all, or https://");
    scheme = url.scheme;
  }
  settings.etcd_endpoints = *list;
  return {};
}

Result<void> set_etcd_prefix(Settings& settings, const SettingValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  const bool is_prefix = text != nullptr && text->starts_with('/') && text->ends_with('/');
  if (!is_prefix) return wrong_type("a string such as \"/ollamamax/\", between slashes");
  settings.etcd_prefix = *text;
  return {};
}

// Four survive no more deaths than three.
Result<void> set_voters(Settings& settings, const SettingValue& value) {
  const auto* number = std::get_if<int64_t>(&value);
  if (number == nullptr || (*number != 3 && *number != 5)) return wrong_type("3 or 5");
  settings.voters = static_cast<size_t>(*number);
  return {};
}

Result<void> set_discover(Settings& settings, const SettingValue& value) {
  const auto* list = std::get_if<Strings>(&value);
  if (list == nullptr) return wrong_type("a list of strings");
  TRY_VOID(cluster::parse_discovery(*list));
  settings.cluster_discover = *list;
  return {};
}

Result<void> set_certificate_life(Settings& settings, const SettingValue& value) {
  TRY(const nanoseconds life, read_duration(value));
  if (life < std::chrono::seconds(10) || life > std::chrono::days(825)) {
    return wrong_type("a duration from \"10s\" to \"19800h\"");
  }
  settings.certificate_life = life;
  return {};
}

// A login is not for those who look over a shoulder.
template <std::string Settings::* member>
SettingValue get_proxy(const Settings& settings) {
  return http::without_credentials(settings.*member);
}

template <std::string Settings::* member>
Result<void> choose(Settings& settings, const SettingValue& value,
                    std::initializer_list<std::string_view> choices) {
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && std::find(choices.begin(), choices.end(), *text) != choices.end()) {
    settings.*member = *text;
    return {};
  }
  return fail(Errc::invalid_argument, "expected one of: {}", fmt::join(choices, ", "));
}
Result<void> set_flash(Settings& settings, const SettingValue& value) {
  return choose<&Settings::flash_attention>(settings, value, {"auto", "on", "off"});
}
Result<void> set_kv_type(Settings& settings, const SettingValue& value) {
  SettingValue lower = value;
  if (auto* text = std::get_if<std::string>(&lower)) *text = to_lower(*text);
  return choose<&Settings::kv_cache_type>(settings, lower, {"f16", "q8_0", "q4_0"});
}
Result<void> set_log_level(Settings& settings, const SettingValue& value) {
  return choose<&Settings::log_level>(settings, value, {"debug", "info", "warn", "error"});
}
Result<void> set_log_format(Settings& settings, const SettingValue& value) {
  return choose<&Settings::log_format>(settings, value, {"text", "json"});
}

// How Ollama reads a boolean variable: anything it does not know counts as true.
bool ollama_bool(std::string_view text) {
  return !(iequals(text, "false") || iequals(text, "f") || text == "0" || text.empty());
}
Result<SettingValue> negated_bool(std::string_view text) { return !ollama_bool(text); }
Result<SettingValue> flash_from(std::string_view text) {
  if (iequals(text, "auto")) return std::string("auto");
  return std::string(ollama_bool(text) ? "on" : "off");
}
Result<SettingValue> debug_from(std::string_view text) {
  return std::string(ollama_bool(text) ? "debug" : "info");
}

constexpr int64_t kNone = 0, kMany = 1'000'000;
constexpr int64_t kBytesMax = int64_t{1} << 50;

const SettingRow kTable[] = {
    {"node.name", "OLLAMAMAX_NODE_NAME",
     "Name of this node in headers and lists; empty: host name.", set_text<&Settings::node_name>,
     get_text<&Settings::node_name>},
    {"node.state_directory", "OLLAMAMAX_STATE",
     "This node's keys, its place in a cluster, foreign servers, pins, and the history of the "
     "chat.",
     set_text<&Settings::state_directory>, get_text<&Settings::state_directory>},
    {"server.listen", "OLLAMA_HOST",
     "Addresses to answer on; those that begin with https:// speak TLS. Anything but loopback is "
     "open to all, unless there are keys.",
     set_listen, get_list<&Settings::listen>},
    {"server.tls_certificate_file", "OLLAMAMAX_TLS_CERTIFICATE_FILE",
     "The certificate, and those between it and its authority, for https:// addresses. Taken up "
     "anew when it changes.",
     set_text<&Settings::tls_certificate_file>, get_text<&Settings::tls_certificate_file>},
    {"server.tls_key_file", "OLLAMAMAX_TLS_KEY_FILE", "Its key; empty: in the same file.",
     set_text<&Settings::tls_key_file>, get_text<&Settings::tls_key_file>},
    {"server.api_keys_file", "OLLAMAMAX_API_KEYS_FILE",
     "Keys, one of which callers from other machines have to show: one a line, or \"sha256:\" and "
     "its SHA-256. Taken up anew when it changes; empty: no keys.",
     set_text<&Settings::api_keys_file>, get_text<&Settings::api_keys_file>},
    {"server.origins", "OLLAMA_ORIGINS",
     "Origins of web pages that may call, beside the local ones.", set_list<&Settings::origins>,
     get_list<&Settings::origins>},
    {"server.body_bytes_max", "OLLAMAMAX_BODY_BYTES_MAX", "Largest JSON request body, in bytes.",
     set_number<&Settings::body_bytes_max, 1024, kBytesMax>, get_number<&Settings::body_bytes_max>},
    {"server.connections_max", "OLLAMAMAX_CONNECTIONS_MAX", "Connections open at once; more wait.",
     set_number<&Settings::connections_max, 1, kMany>, get_number<&Settings::connections_max>},
    {"server.shutdown_delay", "OLLAMAMAX_SHUTDOWN_DELAY",
     "How long /readyz says 503 after SIGTERM before new requests are refused.",
     set_duration<&Settings::shutdown_delay>, get_duration<&Settings::shutdown_delay>},
    {"server.drain_time", "OLLAMAMAX_DRAIN_TIME",
     "How long running requests may go on after SIGTERM.", set_duration<&Settings::drain_time>,
     get_duration<&Settings::drain_time>},
    {"models.directory", "OLLAMA_MODELS", "Where models are kept, in Ollama's layout.",
     set_text<&Settings::models_directory>, get_text<&Settings::models_directory>},
    {"models.prune", "OLLAMA_NOPRUNE",
     "Remove blobs that no model names: at start, and when a model is replaced.",
     set_bool<&Settings::prune>, get_bool<&Settings::prune>, negated_bool},
    {"runner.llama_directory", "OLLAMAMAX_LLAMA_DIR",
     "Folder with llama-server and llama-quantize; empty: found beside the program.",
     set_text<&Settings::llama_directory>, get_text<&Settings::llama_directory>},
    {"runner.parallel", "OLLAMA_NUM_PARALLEL",
     "Requests a runner works on at once; 0: as many as memory allows, up to 4.",
     set_number<&Settings::parallel, kNone, 256>, get_number<&Settings::parallel>},
    {"runner.loaded_max", "OLLAMA_MAX_LOADED_MODELS",
     "Models loaded at once; 0: what fits into memory.",
     set_number<&Settings::loaded_max, kNone, 1024>, get_number<&Settings::loaded_max>},
    {"runner.queue_max", "OLLAMA_MAX_QUEUE", "Requests that may wait; more are answered 503.",
     set_number<&Settings::queue_max, 1, kMany>, get_number<&Settings::queue_max>},
    {"runner.key_weights", "OLLAMAMAX_KEY_WEIGHTS",
     "What keys count in the queue against others, which count 1: \"NAME=WEIGHT\", NAME being the "
     "first 16 digits of the key's SHA-256.",
     set_key_weights, get_list<&Settings::key_weights>},
    {"runner.keep_alive", "OLLAMA_KEEP_ALIVE",
     "How long a model stays loaded after its last request; negative: for ever.",
     set_duration<&Settings::keep_alive, true>, get_duration<&Settings::keep_alive>},
    {"runner.load_timeout", "OLLAMA_LOAD_TIMEOUT",
     "A load without any progress for so long is given up; 0: never.",
     set_duration<&Settings::load_timeout, true>, get_duration<&Settings::load_timeout>},
    {"runner.context_length", "OLLAMA_CONTEXT_LENGTH", "Default num_ctx; 0: 4096.",
     set_number<&Settings::context_length, kNone, 100'000'000>,
     get_number<&Settings::context_length>},
    {"runner.flash_attention", "OLLAMA_FLASH_ATTENTION", "auto, on or off.", set_flash,
     get_text<&Settings::flash_attention>, flash_from},
    {"runner.kv_cache_type", "OLLAMA_KV_CACHE_TYPE", "f16, q8_0 or q4_0.", set_kv_type,
     get_text<&Settings::kv_cache_type>},
    {"runner.threads", "OLLAMAMAX_THREADS",
     "Threads a runner computes with; 0: one for each physical core.",
     set_number<&Settings::threads, kNone, 4096>, get_number<&Settings::threads>},
    {"runner.prompt_cache_mib", "OLLAMAMAX_PROMPT_CACHE_MIB",
     "Memory for prompts that may come again, per runner, in MiB.",
     set_number<&Settings::prompt_cache_mib, kNone, kMany>,
     get_number<&Settings::prompt_cache_mib>},
    {"runner.memory_reserve", "OLLAMA_GPU_OVERHEAD",
     "Bytes to leave free: on each graphics card, or of main memory.",
     set_number<&Settings::memory_reserve, kNone, kBytesMax>,
     get_number<&Settings::memory_reserve>},
    {"runner.prefer_jinja", "OLLAMA_GO_TEMPLATE",
     "Use a model's own jinja template even where it has one in Ollama's form.",
     set_bool<&Settings::prefer_jinja>, get_bool<&Settings::prefer_jinja>, negated_bool},
    {"runner.resume", "OLLAMAMAX_RESUME",
     "Continue a running answer on a fresh runner when its own dies.", set_bool<&Settings::resume>,
     get_bool<&Settings::resume>},
    {"runner.deterministic", "OLLAMAMAX_DETERMINISTIC",
     "Runners whose text does not depend on batches, caches or deaths; on the processor only.",
     set_bool<&Settings::deterministic>, get_bool<&Settings::deterministic>},
    {"cluster.listen", "OLLAMAMAX_CLUSTER_LISTEN",
     "Address for other nodes; used in a cluster only, always with mutual TLS.", set_cluster_listen,
     get_text<&Settings::cluster_listen>},
    {"cluster.advertise", "OLLAMAMAX_CLUSTER_ADVERTISE",
     "HOST[:PORT] under which other nodes reach this one; empty: the address that leads to them.",
     set_text<&Settings::cluster_advertise>, get_text<&Settings::cluster_advertise>},
    {"cluster.etcd_program", "OLLAMAMAX_ETCD",
     "etcd 3.4 or newer, which voters run to keep the cluster's facts.",
     set_text<&Settings::etcd_program>, get_text<&Settings::etcd_program>},
    {"cluster.etcd_endpoints", "OLLAMAMAX_ETCD_ENDPOINTS",
     "URLs of an etcd of yours (3.4 or newer) that is to keep the cluster's facts; empty: voters "
     "run one. On the node where the cluster begins, and on all that should reach it themselves.",
     set_etcd_endpoints, get_list<&Settings::etcd_endpoints>},
    {"cluster.etcd_ca_file", "OLLAMAMAX_ETCD_CA_FILE",
     "PEM file of the authority of that etcd's certificates; empty: the system's.",
     set_text<&Settings::etcd_ca_file>, get_text<&Settings::etcd_ca_file>},
    {"cluster.etcd_certificate_file", "OLLAMAMAX_ETCD_CERTIFICATE_FILE",
     "PEM file of the certificate to show to that etcd.",
     set_text<&Settings::etcd_certificate_file>, get_text<&Settings::etcd_certificate_file>},
    {"cluster.etcd_key_file", "OLLAMAMAX_ETCD_KEY_FILE",
     "PEM file of its key; empty: in the same file.", set_text<&Settings::etcd_key_file>,
     get_text<&Settings::etcd_key_file>},
    {"cluster.etcd_prefix", "OLLAMAMAX_ETCD_PREFIX",
     "What all of the cluster's keys in that etcd begin with.", set_etcd_prefix,
     get_text<&Settings::etcd_prefix>},
    {"cluster.certificate_life", "OLLAMAMAX_CLUSTER_CERTIFICATE_LIFE",
     "How long the certificates are good that nodes get; they renew themselves.",
     set_certificate_life, get_duration<&Settings::certificate_life>},
    {"cluster.node_grace", "OLLAMAMAX_CLUSTER_NODE_GRACE",
     "A node that stopped answering keeps its models' copies counted for so long.",
     set_duration<&Settings::node_grace>, get_duration<&Settings::node_grace>},
    {"cluster.surplus_grace", "OLLAMAMAX_CLUSTER_SURPLUS_GRACE",
     "A copy beyond what its policy wants stays for so long.",
     set_duration<&Settings::surplus_grace>, get_duration<&Settings::surplus_grace>},
    {"cluster.receive_rate_max", "OLLAMAMAX_CLUSTER_RECEIVE_RATE_MAX",
     "Bytes a second that all downloads of this node may take together; 0: no cap.",
     set_number<&Settings::receive_rate_max, kNone, kBytesMax>,
     get_number<&Settings::receive_rate_max>},
    {"cluster.send_rate_max", "OLLAMAMAX_CLUSTER_SEND_RATE_MAX",
     "Bytes a second that this node gives other nodes of its models; 0: no cap.",
     set_number<&Settings::send_rate_max, kNone, kBytesMax>, get_number<&Settings::send_rate_max>},
    {"cluster.discover", "OLLAMAMAX_CLUSTER_DISCOVER",
     "Where a join looks for nodes beside its token's: HOST[:PORT], dns:NAME[:PORT], mdns.",
     set_discover, get_list<&Settings::cluster_discover>},
    {"cluster.direct_reports_max", "OLLAMAMAX_CLUSTER_DIRECT_REPORTS_MAX",
     "In a cluster of more nodes only the voters follow the load of each, and tell the others.",
     set_number<&Settings::direct_reports_max, 1, 10'000>,
     get_number<&Settings::direct_reports_max>},
    {"cluster.voters", "OLLAMAMAX_CLUSTER_VOTERS",
     "How many nodes keep the cluster's facts, once there are so many: 3, or 5 to survive two "
     "deaths at once. The same on all nodes.",
     set_voters, get_number<&Settings::voters>},
    {"cluster.required", "OLLAMAMAX_CLUSTER_REQUIRED",
     "In no cluster the node is not ready (/readyz): where whoever sends it requests takes it for "
     "one of several.",
     set_bool<&Settings::cluster_required>, get_bool<&Settings::cluster_required>},
    {"cluster.one_port", "OLLAMAMAX_CLUSTER_ONE_PORT",
     "As a voter that begins now: be reached through the port between nodes alone. Off: etcd has "
     "two more ports, as before 0.3, which a cluster that is to go back to 0.2 needs.",
     set_bool<&Settings::one_port>, get_bool<&Settings::one_port>},
    {"cluster.standby_runners", "OLLAMAMAX_CLUSTER_STANDBY_RUNNERS",
     "So many more nodes load a model that answers, where memory is free: an answer whose node "
     "dies goes on without waiting for a load.",
     set_number<&Settings::standby_runners, kNone, 64>, get_number<&Settings::standby_runners>},
    {"cluster.announce_mdns", "OLLAMAMAX_CLUSTER_ANNOUNCE_MDNS",
     "Let machines of the local network find this node by mDNS (needs avahi-utils).",
     set_bool<&Settings::announce_mdns>, get_bool<&Settings::announce_mdns>},
    {"network.https_proxy", "HTTPS_PROXY",
     "http://[USER:PASSWORD@]HOST[:PORT] of a proxy that leads to registries and foreign servers.",
     set_text<&Settings::https_proxy>, get_proxy<&Settings::https_proxy>},
    {"network.http_proxy", "HTTP_PROXY", "The same for those at http://.",
     set_text<&Settings::http_proxy>, get_proxy<&Settings::http_proxy>},
    {"network.no_proxy", "NO_PROXY",
     "Names (with all below them), addresses and CIDR ranges that are asked directly.",
     set_list<&Settings::no_proxy>, get_list<&Settings::no_proxy>},
    {"log.level", "OLLAMA_DEBUG", "debug, info, warn or error.", set_log_level,
     get_text<&Settings::log_level>, debug_from},
    {"log.format", "OLLAMAMAX_LOG_FORMAT", "text or json.", set_log_format,
     get_text<&Settings::log_format>},
};

}  // namespace

std::span<const SettingRow> setting_table() { return kTable; }

const SettingRow* find_setting(std::string_view key) {
  for (const SettingRow& row : setting_table()) {
    if (row.key == key) return &row;
  }
  return nullptr;
}

std::unexpected<Error> unknown_setting(std::string_view key) {
  std::vector<std::string_view> keys;
  for (const SettingRow& row : setting_table()) keys.push_back(row.key);
  const auto near = nearest_word(key, keys);
  if (near.empty()) {
    return fail(Errc::invalid_argument,
                "unknown key \"{}\" (`ollamamax config generate` prints all keys)", key);
  }
  return fail(Errc::invalid_argument, "unknown key \"{}\", did you mean \"{}\"?", key, near);
}

}  // namespace om::app
