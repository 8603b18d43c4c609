#include "engine/external/backend_spec.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json_fields.h"

namespace om::engine {
namespace {

constexpr size_t kNameLengthMax = 64;
constexpr std::array<std::pair<BackendKind, std::string_view>, 5> kKinds = {
    {{BackendKind::unknown, ""},
     {BackendKind::ollama, "ollama"},
     {BackendKind::llama_server, "llama-server"},
     {BackendKind::vllm, "vllm"},
     {BackendKind::openai, "openai"}}};

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameLengthMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
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
  while (text.ends_with('/')) text.pop_back();
  if (text.ends_with("/v1")) text.resize(text.size() - 3);
  TRY(const http::Url parsed, http::Url::parse(text));
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
                name, kNameLengthMax);
  }
  spec.name = std::move(name);
  return spec;
}

std::string write_backend(const BackendSpec& spec) {
  boost::json::array models;
  for (const std::string& model : spec.models) models.emplace_back(model);
  return boost::json::serialize(boost::json::object{{"name", spec.name},
                                                    {"url", spec.url},
                                                    {"kind", to_string(spec.kind)},
                                                    {"models", std::move(models)},
                                                    {"key_digest", spec.key_digest}});
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
  return spec;
}

}  // namespace om::engine
