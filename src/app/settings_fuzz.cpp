// Any bytes as a setting in a file, as every variable of the environment and as an address: refused
// with a reason and nothing changed, or the same settings when they are written as a file again.
#include "app/settings.h"
#include "base/check.h"
#include "base/duration.h"
#include "base/utf8.h"
#include "cluster/discovery.h"

namespace om::app {
namespace {

std::vector<std::string> values_of(const Config& config) {
  std::vector<std::string> values;
  for (const SettingView& line : config.view()) values.push_back(line.key + " = " + line.value);
  return values;
}

// What `config generate` would write of it must be taken back.
void check_written(const Config& config) {
  const std::string text = config.example();
  if (!utf8_valid(text)) return;
  Config again;
  const auto applied = again.apply_file(text, "again.toml");
  CHECK(applied.has_value(), applied ? "" : applied.error().what);
  CHECK(values_of(again) == values_of(config));
}

// The text as one setting of a file, a string or a list of its lines; its first byte picks which.
// Not as a whole file: toml++ 3.3 itself fails assertions at a table's name "[~", a time "1:\0" and
// more, and has undefined behaviour at an umlaut outside of strings.
void apply_file(std::string_view text) {
  if (text.empty()) return;
  Config config;
  const auto rows = config.view();
  const auto pick = static_cast<uint8_t>(text.front());
  const SettingView& row = rows[pick / 2 % rows.size()];
  const bool list = pick % 2 == 1;
  std::string file = fmt::format("{} = {}\"", row.key, list ? "[" : "");
  for (const char c : text.substr(1)) {
    if (list && c == '\n') {
      file += "\", \"";
    } else {
      file += fmt::format("\\u{:04x}", static_cast<uint8_t>(c));
    }
  }
  const auto before = values_of(config);
  if (const auto applied = config.apply_file(file + (list ? "\"]" : "\""), "a.toml"); !applied) {
    CHECK(applied.error().code == Errc::invalid_argument);
    CHECK(applied.error().what.starts_with("a.toml:1"));
    CHECK(values_of(config) == before);
    return;
  }
  for (const SettingView& line : config.view())
    CHECK((line.from == "a.toml:1") == (line.key == row.key));
  CHECK(!config.settings().listen.empty());
  check_written(config);
}

void apply_variables(const std::string& text) {
  Config config;
  // One that refuses the text would hide those behind it: each alone.
  for (const SettingView& line : config.view()) {
    const auto lookup = [&](const char* name) {
      return name == line.variable ? text.c_str() : nullptr;
    };
    Config changed = config;
    if (const auto applied = changed.apply_environment(lookup); !applied) {
      CHECK(applied.error().code == Errc::invalid_argument);
      CHECK(applied.error().what.starts_with(line.variable));
      continue;  // Whoever is refused starts anew: a part of it may be in there.
    }
    config = std::move(changed);
  }
  check_written(config);
}

void read_address(const std::string& text) {
  const auto host = parse_host(text);
  if (host) {
    CHECK(!host->host.empty() && (host->scheme == "http" || host->scheme == "https"));
    CHECK(host->path.empty() || (host->path.starts_with('/') && !host->path.ends_with('/')));
  }
  if (const auto weight = parse_key_weight(text)) {
    CHECK(weight->first.size() == 16 && weight->second >= 0.01 && weight->second <= 100);
  }
  if (const auto sources = cluster::parse_discovery(std::span(&text, 1))) {
    using Kind = cluster::DiscoverySource::Kind;
    CHECK(sources->size() == 1);
    const cluster::DiscoverySource& source = sources->front();
    CHECK(source.kind == Kind::mdns || (!source.endpoint.host.empty() && source.endpoint.port > 0));
  }
  if (const auto endpoint = cluster::read_avahi_line(text)) {
    CHECK(!endpoint->host.empty() && endpoint->port > 0);
  }
}

void read_times(std::string_view text) {
  for (const auto& time : {parse_duration(text), parse_duration_or_seconds(text)}) {
    if (!time) continue;
    const auto again = parse_duration(format_duration(*time));
    CHECK(again && *again == *time);
  }
}

}  // namespace
}  // namespace om::app

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::app;  // NOLINT: one function.
  constexpr size_t kVariableBytesMax = 128;
  const std::string text(reinterpret_cast<const char*>(data), size);
  apply_file(text);
  if (size <= kVariableBytesMax) apply_variables(text);
  read_address(text);
  read_times(text);
  return 0;
}
