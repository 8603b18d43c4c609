#include "engine/external/backend_spec.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json_fields.h"
#include "base/strings.h"
#include "io/loopback.h"

namespace om::engine {
namespace {

constexpr std::array<std::pair<BackendKind, std::string_view>, 5> kKinds = {
    {{BackendKind::unknown, ""},
     {BackendKind::ollama, "ollama"},
     {BackendKind::llama_server, "llama-server"},
     {BackendKind::vllm, "vllm"},
     {BackendKind::openai, "openai"}}};

// It names a file, too: "." and ".." are none.
bool is_name(std::string_view name) {
  if (name.find_first_not_of('.') == name.npos) return false;
  return name.size() <= kBackendNameMax && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_';
         });
}

}  // namespace

std::string_view to_string(BackendKind kind) {
  return std::ranges::find(kKinds, kind, [](const auto& known) { return known.first; })->second;
}

Result<BackendKind> parse_backend_kind(std::string_view text) {
  const auto found =
      std::ranges::find(kKinds, text, [](const auto& known) { return known.second; });
  if (found == kKinds.end()) {
    return fail(Errc::invalid_argument,
                "'{}' is no kind of backend; there are ollama, llama-server, vllm and openai",
                text);
  }
  return found->first;
}

Result<BackendSpec> make_backend(std::string_view url, std::string name) {
  std::string text(url);
  if (text.find("://") == std::string::npos) text = "http://" + text;
  // As often as they come: what was written down must be the same when it is read again.
  const size_t host = text.find("://") + 3;
  for (size_t before = 0; before != text.size();) {
    before = text.size();
    if (text.ends_with('/')) text.pop_back();
    if (text.ends_with("/v1") && text.size() - 3 > host) text.resize(text.size() - 3);
  }
  if (url.empty()) return fail(Errc::invalid_argument, "a backend needs a URL");
  TRY(const http::Url parsed, http::Url::parse(text));
  // Every node and every backup sees the URL.
  if (text.substr(host, text.find('/', host) - host).contains('@')) {
    return fail(Errc::invalid_argument,
                "a user or password in the URL would be seen by all: give it as the key");
  }
  if (text.find_first_of("?#") != text.npos) {
    return fail(Errc::invalid_argument, "{}: a backend's URL has no '?' and no '#'", url);
  }
  if (parsed.scheme != "http" && parsed.scheme != "https") {
    return fail(Errc::invalid_argument, "{}: not an http or https address", url);
  }
  BackendSpec spec;
  spec.url = std::move(text);
  if (name.empty()) {
    name = fmt::format("{}-{}", parsed.host, parsed.port);
    std::ranges::replace(name, ':', '.');
  }
  if (!is_name(name)) {
    return fail(Errc::invalid_argument,
                "'{}' cannot be a backend's name: letters, digits, '-', '.' and '_' only, up to {}",
                name, kBackendNameMax);
  }
  spec.name = std::move(name);
  return spec;
}

bool is_on_own_machine(const BackendSpec& spec) {
  const auto url = http::Url::parse(spec.url);
  if (!url) return false;
  const std::string host = to_lower(url->host);
  return io::is_loopback(host) || host.ends_with(".localhost") || host.starts_with("::ffff:127.") ||
         host == "::" || host == "0.0.0.0";
}

std::string write_backend(const BackendSpec& spec) {
  boost::json::array models;
  for (const std::string& model : spec.models) models.emplace_back(model);
  boost::json::object object{{"name", spec.name},
                             {"url", spec.url},
                             {"kind", to_string(spec.kind)},
                             {"models", std::move(models)},
                             {"key_digest", spec.key_digest}};
  if (!spec.node.empty()) object["node"] = spec.node;
  return boost::json::serialize(object);
}

Result<BackendSpec> read_backend(std::string_view text) {
  boost::system::error_code failed;
  const auto value = boost::json::parse(text, failed);
  if (failed || !value.is_object()) return fail(Errc::corrupt, "not a backend");
  const JsonFields fields(value.get_object());
  TRY(BackendSpec spec, make_backend(fields.text("url"), fields.text("name")));
  if (const auto kind = parse_backend_kind(fields.text("kind"))) spec.kind = *kind;
  if (const auto* models = fields.array("models")) {
    for (const auto& model : *models) {
      if (model.is_string() && spec.models.size() < kBackendModelsMax) {
        spec.models.emplace_back(model.get_string());
      }
    }
  }
  fields.read("key_digest", spec.key_digest);
  fields.read("node", spec.node);
  return spec;
}

}  // namespace om::engine
