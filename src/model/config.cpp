#include "base/json_fields.h"
#include "model/json_text.h"
#include "model/manifest.h"

namespace om::model {
namespace {

// Takes a known field out of `object`; what remains at the end is what we do not know.
std::string take_string(boost::json::object& object, std::string_view key) {
  auto at = object.find(key);
  if (at == object.end() || !(at->value().is_string() || at->value().is_null())) return {};
  std::string text;
  if (at->value().is_string()) text = std::string(at->value().get_string());
  object.erase(at);
  return text;
}

int64_t take_integer(boost::json::object& object, std::string_view key) {
  auto at = object.find(key);
  if (at == object.end() || !at->value().is_number()) return 0;
  boost::system::error_code error;
  auto number = at->value().to_number<int64_t>(error);
  if (error) return 0;
  object.erase(at);
  return number;
}

std::vector<std::string> take_strings(boost::json::object& object, std::string_view key) {
  auto at = object.find(key);
  if (at == object.end()) return {};
  std::vector<std::string> texts;
  if (const auto* list = at->value().if_array()) {
    for (const auto& value : *list) {
      if (!value.is_string()) return {};
      texts.emplace_back(value.get_string());
    }
  } else if (!at->value().is_null()) {
    return {};
  }
  object.erase(at);
  return texts;
}

}  // namespace

Result<Config> Config::parse(std::string_view json) {
  Config config;
  TRY(config.other, parse_json_object(json, "model config"));
  auto& object = config.other;
  config.model_format = take_string(object, "model_format");
  config.model_family = take_string(object, "model_family");
  config.model_families = take_strings(object, "model_families");
  config.model_type = take_string(object, "model_type");
  config.file_type = take_string(object, "file_type");
  config.renderer = take_string(object, "renderer");
  config.parser = take_string(object, "parser");
  config.requires_version = take_string(object, "requires");
  config.base_name = take_string(object, "base_name");
  config.capabilities = take_strings(object, "capabilities");
  config.context_length = take_integer(object, "context_length");
  config.embedding_length = take_integer(object, "embedding_length");
  return config;
}

std::string Config::to_json() const {
  boost::json::object object;
  object["model_format"] = model_format;
  object["model_family"] = model_family;
  if (model_families.empty()) {
    object["model_families"] = nullptr;
  } else {
    object["model_families"] = json_texts(model_families);
  }
  object["model_type"] = model_type;
  object["file_type"] = file_type;
  const auto put = [&object](std::string_view key, const std::string& text) {
    if (!text.empty()) object[key] = text;
  };
  put("renderer", renderer);
  put("parser", parser);
  put("requires", requires_version);
  if (!capabilities.empty()) object["capabilities"] = json_texts(capabilities);
  if (context_length != 0) object["context_length"] = context_length;
  if (embedding_length != 0) object["embedding_length"] = embedding_length;
  put("base_name", base_name);
  const auto* architecture = other.if_contains("architecture");
  object["architecture"] = architecture ? *architecture : boost::json::value("amd64");
  const auto* system = other.if_contains("os");
  object["os"] = system ? *system : boost::json::value("linux");
  for (const auto& [key, value] : other) object[key] = value;
  return write_json(object) + '\n';
}

}  // namespace om::model
