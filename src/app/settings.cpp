#include "app/settings.h"

#include <cstdlib>

#include "app/setting_table.h"
#include "base/strings.h"
#include "cluster/discovery.h"
#include "http/proxy.h"

namespace om::app {
namespace {

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if ((c >= 0 && c < ' ') || c == 127) {
      out += fmt::format("\\u{:04X}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string to_toml(const SettingValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return toml_quoted(*text);
  if (const auto* number = std::get_if<int64_t>(&value)) return std::to_string(*number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  std::string out = "[";
  for (const auto& item : std::get<std::vector<std::string>>(value)) {
    out += (out.size() > 1 ? ", " : "") + toml_quoted(item);
  }
  return out + "]";
}

Result<SettingValue> bool_from(std::string_view text) {
  for (const auto yes : {"true", "1", "on", "yes"}) {
    if (iequals(text, yes)) return true;
  }
  for (const auto no : {"false", "0", "off", "no"}) {
    if (iequals(text, no)) return false;
  }
  return fail(Errc::invalid_argument, "expected true or false, found \"{}\"", text);
}

// By the type that the setting has now.
Result<SettingValue> from_text(const SettingRow& row, const Settings& settings,
                               std::string_view text) {
  const SettingValue current = row.get(settings);
  if (std::holds_alternative<std::string>(current)) return std::string(text);
  if (std::holds_alternative<bool>(current)) return bool_from(text);
  if (std::holds_alternative<std::vector<std::string>>(current)) {
    std::vector<std::string> items;
    for (const auto item : split(text, ',')) {
      if (!trim(item).empty()) items.emplace_back(trim(item));
    }
    return items;
  }
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return fail(Errc::invalid_argument, "expected a whole number, found \"{}\"", text);
  }
  return number;
}

Settings defaults() {
  Settings settings;
  const char* home = std::getenv("HOME");
  const std::string base = std::string(home != nullptr ? home : "/root") + "/.ollama";
  settings.state_directory = base;
  settings.cluster_listen = "0.0.0.0:11435";
  settings.certificate_life = std::chrono::days(90);
  settings.node_grace = std::chrono::seconds(60);
  settings.surplus_grace = std::chrono::minutes(10);
  settings.etcd_program = "/usr/bin/etcd";
  settings.etcd_prefix = "/ollamamax/";
  settings.listen = {"127.0.0.1:11434"};
  settings.body_bytes_max = 64ull << 20;
  settings.connections_max = 4096;
  settings.drain_time = std::chrono::seconds(30);
  settings.models_directory = base + "/models";
  settings.queue_max = 512;
  settings.keep_alive = std::chrono::minutes(5);
  settings.load_timeout = std::chrono::minutes(5);
  settings.flash_attention = "auto";
  settings.kv_cache_type = "f16";
  settings.prompt_cache_mib = 512;
  settings.log_level = "info";
  settings.log_format = "text";
  return settings;
}

}  // namespace

std::string_view to_string(Source source) {
  switch (source) {
    case Source::default_value:
      return "default";
    case Source::file:
      return "file";
    case Source::environment:
      return "environment";
    case Source::flag:
      return "flag";
  }
  return "unknown";
}

Config::Config() : settings_(defaults()) {}

Result<void> Config::apply_environment(const Environment& environment) {
  const Settings plain = defaults();  // What `config generate` prints may stand in the file.
  for (const SettingRow& row : setting_table()) {
    if (row.variable.empty()) continue;
    const char* raw = environment(std::string(row.variable).c_str());
    if (raw == nullptr && row.variable.ends_with("_PROXY")) {
      raw = environment(to_lower(row.variable).c_str());  // Written in both ways everywhere.
    }
    if (raw == nullptr) continue;
    std::string_view text = trim(raw);
    if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
        text.front() == text.back()) {
      text = text.substr(1, text.size() - 2);
    }
    if (text.empty()) continue;  // As Ollama does: set but empty is unset.
    const SettingValue before = row.get(settings_);
    auto value = row.from_environment != nullptr ? row.from_environment(text)
                                                 : from_text(row, settings_, text);
    const auto set = value ? row.set(settings_, *value) : Result<void>(fail(value.error()));
    if (!set) return fail(annotate(set.error(), row.variable));
    Origin& origin = origins_[std::string(row.key)];
    if (origin.source == Source::file && row.get(settings_) != before && before != row.get(plain)) {
      settings_.overruled.push_back(
          {std::string(row.key), std::move(origin.from), std::string(row.variable)});
    }
    origin = Origin{Source::environment, std::string(row.variable)};
  }
  return {};
}

Result<void> Config::set(std::string_view key, std::string_view text, Source source,
                         std::string_view from) {
  const SettingRow* row = find_setting(key);
  if (row == nullptr) return unknown_setting(key);
  auto value = from_text(*row, settings_, text);
  const auto set = value ? row->set(settings_, *value) : Result<void>(fail(value.error()));
  if (!set) return fail(annotate(set.error(), from));
  std::erase_if(settings_.overruled, [&](const Overruled& one) { return one.key == key; });
  origins_.insert_or_assign(std::string(key), Origin{source, std::string(from)});
  return {};
}

std::vector<SettingView> Config::view() const {
  std::vector<SettingView> lines;
  for (const SettingRow& row : setting_table()) {
    const auto origin = origins_.find(row.key);
    lines.push_back({std::string(row.key), to_toml(row.get(settings_)),
                     origin == origins_.end() ? "default" : origin->second.from,
                     std::string(row.help), std::string(row.variable)});
  }
  return lines;
}

namespace {

// Folders in the home of whoever asks. In a file for the whole machine they would be everybody's.
bool is_of_one_user(const SettingView& line) {
  return line.from == "default" &&
         (line.key == "node.state_directory" || line.key == "models.directory");
}

}  // namespace

std::string Config::example() const {
  std::string out = "# OllamaMax configuration: every key with its default.\n";
  std::string section;
  for (const SettingView& line : view()) {
    const size_t dot = line.key.find('.');
    if (line.key.substr(0, dot) != section) {
      section = line.key.substr(0, dot);
      out += fmt::format("\n[{}]\n", section);
    }
    out += fmt::format("# {}{}\n{}{} = {}\n", line.help,
                       line.variable.empty() ? "" : " (" + line.variable + ")",
                       is_of_one_user(line) ? "# " : "", line.key.substr(dot + 1), line.value);
  }
  return out;
}

// The environment's proxies are there for all programs: with one that we cannot speak to, a node
// can do all but what leads through it.
Result<void> Config::check_proxy(std::string_view key, const std::string& url) const {
  const auto origin = origins_.find(key);
  if (origin == origins_.end() || origin->second.source == Source::environment) return {};
  const auto usable = http::check_proxy(url);
  if (usable) return {};
  return fail(Errc::invalid_argument, "{}: {}: {}", origin->second.from, key, usable.error().what);
}

Result<void> Config::check() const {
  TRY_VOID(check_proxy("network.https_proxy", settings_.https_proxy));
  TRY_VOID(check_proxy("network.http_proxy", settings_.http_proxy));
  if (settings_.kv_cache_type == "f16") return {};
  const char* other = settings_.deterministic              ? "runner.deterministic must be off"
                      : settings_.flash_attention == "off" ? "runner.flash_attention "
                                                             "(OLLAMA_FLASH_ATTENTION) must be on"
                                                           : nullptr;
  if (other == nullptr) return {};
  return fail(Errc::invalid_argument, "runner.kv_cache_type (OLLAMA_KV_CACHE_TYPE): for {} {}",
              settings_.kv_cache_type, other);
}

Result<std::pair<std::string, double>> parse_key_weight(std::string_view text) {
  constexpr size_t kNameLetters = 16;
  const std::string_view name = text.substr(0, kNameLetters);
  const bool is_name = name.find_first_not_of("0123456789abcdef") == name.npos;
  const bool parted = text.size() > kNameLetters && text[kNameLetters] == '=';
  const auto weight =
      parted ? parse_number<double>(text.substr(kNameLetters + 1)) : std::optional<double>();
  if (!is_name || !weight || !(*weight >= 0.01 && *weight <= 100)) {
    return fail(
        Errc::invalid_argument,
        "\"{}\": expected 16 digits of a key's SHA-256, \"=\", and a number from 0.01 to 100",
        text);
  }
  return std::pair(std::string(name), *weight);
}

Result<HostPort> parse_host(std::string_view text) {
  HostPort host;
  const std::string original(text);
  uint16_t port_default = 11434;
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    host.scheme = text.substr(0, scheme);
    if (host.scheme != "http" && host.scheme != "https") {
      return fail(Errc::invalid_argument, "{}: expected http:// or https://", original);
    }
    port_default = host.scheme == "https" ? 443 : 80;
    text.remove_prefix(scheme + 3);
  }
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    host.path = text.substr(slash);
    while (host.path.ends_with('/')) host.path.pop_back();
    text = text.substr(0, slash);
  }
  host.port = port_default;
  size_t colon = text.rfind(':');
  const size_t bracket = text.rfind(']');
  const bool bare_ipv6 = bracket == std::string_view::npos && text.find(':') != colon;
  if (bare_ipv6 || (bracket != std::string_view::npos && colon < bracket)) {
    colon = std::string_view::npos;
  }
  if (colon != std::string_view::npos) {
    const auto digits = text.substr(colon + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), host.port);
    if (error != std::errc{} || end != digits.data() + digits.size()) {
      return fail(Errc::invalid_argument, "{}: invalid port", original);
    }
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  host.host = text.empty() ? "127.0.0.1" : std::string(text);
  return host;
}

Result<HostPort> parse_peer_listen(std::string_view text) {
  TRY(HostPort host, parse_host(text));
  if (text.starts_with(':') && !text.starts_with("::")) host.host = "0.0.0.0";
  if (!text.ends_with(fmt::format(":{}", host.port))) host.port = cluster::kPeerPort;
  return host;
}

}  // namespace om::app
