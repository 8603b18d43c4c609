#include "engine/external/external_bodies.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/base64.h"
#include "base/json_fields.h"
#include "prompt/webp.h"

namespace om::engine {
namespace {

namespace json = boost::json;

json::value parsed_or_text(std::string_view text) {
  boost::system::error_code failed;
  json::value value = json::parse(text, failed);
  return failed ? json::value(text) : value;
}

bool is_wav(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WAVE");
}

std::string_view image_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return "image/png";
  if (bytes.starts_with("GIF8")) return "image/gif";
  if (prompt::is_webp(bytes)) return "image/webp";
  return "image/jpeg";
}

json::array openai_calls(const std::vector<model::ToolCall>& calls) {
  json::array array;
  for (const model::ToolCall& call : calls) {
    array.push_back(json::object{
        {"id", call.id},
        {"type", "function"},
        {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return array;
}

json::object media_part(std::string_view media) {
  if (is_wav(media)) {
    const json::object audio{{"data", base64_encode(media)}, {"format", "wav"}};
    return {{"type", "input_audio"}, {"input_audio", audio}};
  }
  const std::string url = fmt::format("data:{};base64,{}", image_type(media), base64_encode(media));
  return {{"type", "image_url"}, {"image_url", json::object{{"url", url}}}};
}

// Texts and images in their order; images without a place of their own come last.
json::array openai_parts(const model::Message& message) {
  json::array parts;
  size_t from = 0;
  const auto add_text_until = [&](size_t end) {
    std::string_view text = std::string_view(message.content).substr(from, end - from);
    // The line's end by which the texts around an image were joined.
    if (from > 0 && text.starts_with('\n')) text.remove_prefix(1);
    if (!text.empty()) parts.push_back(json::object{{"type", "text"}, {"text", text}});
    from = end;
  };
  const bool placed = message.image_places.size() == message.images.size();
  for (size_t i = 0; i < message.images.size(); i++) {
    const size_t place = placed ? message.image_places[i] : message.content.size();
    add_text_until(std::clamp(place, from, message.content.size()));
    parts.push_back(media_part(message.images[i]));
  }
  add_text_until(message.content.size());
  return parts;
}

json::object openai_message(BackendKind kind, const model::Message& message) {
  json::object object{{"role", message.role}};
  if (message.images.empty()) {
    object["content"] = message.content;
  } else {
    object["content"] = openai_parts(message);
  }
  // OpenAI's own service never tells what its models think, and takes it from nobody.
  if (!message.thinking.empty() && kind != BackendKind::openai) {
    object["reasoning_content"] = message.thinking;
  }
  if (!message.tool_calls.empty()) object["tool_calls"] = openai_calls(message.tool_calls);
  if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
  if (!message.tool_name.empty()) object["name"] = message.tool_name;
  return object;
}

json::object ollama_message(const model::Message& message) {
  json::object object{{"role", message.role}, {"content", message.content}};
  if (!message.thinking.empty()) object["thinking"] = message.thinking;
  if (!message.tool_name.empty()) object["tool_name"] = message.tool_name;
  if (!message.tool_call_id.empty()) object["tool_call_id"] = message.tool_call_id;
  json::array images, calls;
  for (const std::string& image : message.images) images.emplace_back(base64_encode(image));
  for (const model::ToolCall& call : message.tool_calls) {
    calls.push_back(json::object{
        {"id", call.id},
        {"function",
         json::object{{"name", call.name}, {"arguments", parsed_or_text(call.arguments)}}}});
  }
  if (!images.empty()) object["images"] = std::move(images);
  if (!calls.empty()) object["tool_calls"] = std::move(calls);
  return object;
}

// Tokens are counted by whoever gave them out: the rest is what may still come.
int64_t tokens_left(const json::value& limit, const Emitted& emitted) {
  boost::system::error_code failed;
  const auto wanted = limit.to_number<int64_t>(failed);
  if (failed || wanted < 0) return -1;
  return std::max<int64_t>(1, wanted - emitted.tokens);
}

// Ollama's options by the names that OpenAI's API has, and those that llama-server and vLLM add.
void add_openai_options(BackendKind kind, const model::RequestCommon& common,
                        const Emitted& emitted, json::object& body) {
  struct Option {
    std::string_view ours, theirs;
    bool everywhere;
  };
  const std::string_view penalty =
      kind == BackendKind::vllm ? "repetition_penalty" : "repeat_penalty";
  const Option options[] = {{"temperature", "temperature", true},
                            {"top_p", "top_p", true},
                            {"seed", "seed", true},
                            {"stop", "stop", true},
                            {"presence_penalty", "presence_penalty", true},
                            {"frequency_penalty", "frequency_penalty", true},
                            {"top_k", "top_k", false},
                            {"min_p", "min_p", false},
                            {"repeat_penalty", penalty, false}};
  for (const Option& option : options) {
    const json::value* value = common.options.if_contains(option.ours);
    if (!value || value->is_null()) continue;
    if (!option.everywhere && kind == BackendKind::openai) continue;
    body[option.theirs] = *value;
  }
  if (const json::value* limit = common.options.if_contains("num_predict")) {
    const int64_t left = tokens_left(*limit, emitted);
    if (left > 0) body["max_tokens"] = left;
  }
}

void add_openai_common(BackendKind kind, const model::RequestCommon& common, const Emitted& emitted,
                       json::object& body) {
  body["stream"] = true;
  json::object usage{{"include_usage", true}};
  // Counts with each event, so that another one can go on from one that dies and count on.
  if (kind == BackendKind::vllm) usage["continuous_usage_stats"] = true;
  if (kind == BackendKind::llama_server) body["timings_per_token"] = true;
  body["stream_options"] = std::move(usage);
  add_openai_options(kind, common, emitted, body);
  if (common.format.kind == model::Format::Kind::json) {
    body["response_format"] = json::object{{"type", "json_object"}};
  } else if (common.format.kind == model::Format::Kind::schema) {
    body["response_format"] = json::object{
        {"type", "json_schema"},
        {"json_schema", json::object{{"name", "answer"},
                                     {"strict", true},
                                     {"schema", parsed_or_text(common.format.schema)}}}};
  }
}

void add_thinking(BackendKind kind, const model::Think& think, json::object& body) {
  const bool is_service = kind == BackendKind::openai;
  if (think.is_set && !think.enabled && !is_service) {
    body["chat_template_kwargs"] = json::object{{"enable_thinking", false}};
  } else if (think.is_set && !think.enabled) {
    body["reasoning_effort"] = "none";
  } else if (think.level == "max") {
    body["reasoning_effort"] = is_service ? "xhigh" : "high";
  } else if (!think.level.empty()) {
    body["reasoning_effort"] = think.level;
  }
}

void add_ollama_common(const model::RequestCommon& common, const Emitted& emitted,
                       json::object& body) {
  body["stream"] = true;
  body["options"] = options_left(common, emitted);
  if (common.format.kind == model::Format::Kind::json) body["format"] = "json";
  if (common.format.kind == model::Format::Kind::schema) {
    body["format"] = parsed_or_text(common.format.schema);
  }
  if (common.think.is_set) {
    body["think"] = common.think.level.empty() ? json::value(common.think.enabled)
                                               : json::value(common.think.level);
  }
  if (common.logprobs.enabled) {
    body["logprobs"] = true;
    body["top_logprobs"] = common.logprobs.top;
  }
  if (common.keep_alive.duration) {
    body["keep_alive"] =
        fmt::format("{}ns", std::max<int64_t>(-1, common.keep_alive.duration->count()));
  }
}

Result<void> check_continuation(BackendKind kind, const Emitted& emitted) {
  if (emitted.text.empty() || kind != BackendKind::openai) return {};
  return fail(Errc::unsupported, "this kind of backend cannot go on from a given text");
}

UpstreamRequest upstream(BackendKind kind, std::string_view target, const json::object& body,
                         bool has_media) {
  UpstreamRequest request{std::string(target), json::serialize(body)};
  request.model = body.at("model").get_string();
  // Of these only llama-server never loads a model first and tells what it had cached.
  if (kind == BackendKind::llama_server && !has_media) {
    request.text_bytes = static_cast<int64_t>(request.body.size());
  }
  return request;
}

}  // namespace

json::object options_left(const model::RequestCommon& common, const Emitted& emitted) {
  json::object options = common.options;
  if (const json::value* limit = options.if_contains("num_predict")) {
    options["num_predict"] = tokens_left(*limit, emitted);
  }
  return options;
}

Result<UpstreamRequest> chat_body(BackendKind kind, std::string_view model,
                                  const model::ChatRequest& request, const Emitted& emitted) {
  TRY_VOID(check_continuation(kind, emitted));
  const bool ollama = kind == BackendKind::ollama;
  json::object body{{"model", model}};
  json::array messages, tools;
  bool has_media = false;
  for (const model::Message& message : request.messages) {
    has_media |= !message.images.empty();
    messages.push_back(ollama ? ollama_message(message) : openai_message(kind, message));
  }
  if (!emitted.text.empty()) {
    messages.push_back(json::object{{"role", "assistant"}, {"content", emitted.text}});
    if (kind == BackendKind::vllm || kind == BackendKind::llama_server) {
      body["continue_final_message"] = true;
      body["add_generation_prompt"] = false;
    }
  }
  body["messages"] = std::move(messages);
  for (const json::value& tool : request.tools) tools.push_back(tool);
  if (!tools.empty()) body["tools"] = std::move(tools);
  if (ollama) {
    add_ollama_common(request.common, emitted, body);
    return upstream(kind, "/api/chat", body, has_media);
  }
  add_openai_common(kind, request.common, emitted, body);
  if (request.common.logprobs.enabled) {
    body["logprobs"] = true;
    if (request.common.logprobs.top > 0) body["top_logprobs"] = request.common.logprobs.top;
  }
  if (!request.tools.empty()) {
    const std::string& choice = request.tool_choice;
    if (choice == "auto" || choice == "none" || choice == "required") {
      body["tool_choice"] = choice;
    } else if (!choice.empty()) {
      body["tool_choice"] =
          json::object{{"type", "function"}, {"function", json::object{{"name", choice}}}};
    }
    if (!request.parallel_tool_calls) body["parallel_tool_calls"] = false;
  }
  add_thinking(kind, request.common.think, body);
  return upstream(kind, kChatTarget, body, has_media);
}

Result<UpstreamRequest> generate_body(BackendKind kind, std::string_view model,
                                      const model::GenerateRequest& request,
                                      const Emitted& emitted) {
  const bool ollama = kind == BackendKind::ollama;
  // Without a template the text itself is the prompt, and every server goes on from one.
  const bool as_chat = !request.raw && (!emitted.text.empty() || !ollama);
  if (as_chat) {
    if (!request.suffix.empty() || !request.template_text.empty() || !request.context.empty()) {
      return fail(Errc::unsupported,
                  "suffix, template and context are not understood by this kind of backend");
    }
    model::ChatRequest chat;
    chat.common = request.common;
    if (!request.system.empty()) {
      chat.messages.push_back({.role = "system", .content = request.system});
    }
    chat.messages.push_back({.role = "user", .content = request.prompt, .images = request.images});
    return chat_body(kind, model, chat, emitted);
  }
  json::object body{{"model", model}, {"prompt", request.prompt + emitted.text}};
  if (!request.suffix.empty()) body["suffix"] = request.suffix;
  if (!ollama) {
    add_openai_common(kind, request.common, emitted, body);
    if (request.common.logprobs.enabled) body["logprobs"] = request.common.logprobs.top;
    return upstream(kind, "/v1/completions", body, false);
  }
  if (!request.system.empty()) body["system"] = request.system;
  if (!request.template_text.empty()) body["template"] = request.template_text;
  if (request.raw) body["raw"] = true;
  json::array images;
  for (const std::string& image : request.images) images.emplace_back(base64_encode(image));
  if (!images.empty()) body["images"] = std::move(images);
  if (!request.context.empty()) {
    body["context"] = json::array(request.context.begin(), request.context.end());
  }
  add_ollama_common(request.common, emitted, body);
  return upstream(kind, "/api/generate", body, !request.images.empty());
}

UpstreamRequest embed_body(BackendKind kind, std::string_view model,
                           const model::EmbedRequest& request) {
  json::object body{{"model", model},
                    {"input", json::array(request.input.begin(), request.input.end())}};
  if (request.dimensions > 0) body["dimensions"] = request.dimensions;
  if (kind != BackendKind::ollama) return {"/v1/embeddings", json::serialize(body)};
  body["truncate"] = request.truncate;
  body["options"] = request.options;
  return {"/api/embed", json::serialize(body)};
}

Result<model::Embedding> read_embedding(std::string_view text, size_t count) {
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  const auto nonsense = [] { return fail(Errc::corrupt, "the backend sent no embeddings"); };
  if (failed || !value.is_object()) return nonsense();
  const JsonFields fields(value.get_object());
  model::Embedding embedding;
  const auto add = [&embedding](const json::array& numbers) {
    auto& vector = embedding.vectors.emplace_back();
    for (const json::value& number : numbers) {
      if (number.is_number()) vector.push_back(number.to_number<float>());
    }
  };
  if (const json::array* data = fields.array("data")) {
    for (const json::value& entry : *data) {
      if (!entry.is_object()) return nonsense();
      const json::array* numbers = JsonFields(entry.get_object()).array("embedding");
      if (!numbers) return nonsense();
      add(*numbers);
    }
    if (const json::object* usage = fields.object("usage")) {
      JsonFields(*usage).read("prompt_tokens", embedding.prompt_tokens);
    }
  } else if (const json::array* vectors = fields.array("embeddings")) {
    for (const json::value& numbers : *vectors) {
      if (!numbers.is_array()) return nonsense();
      add(numbers.get_array());
    }
    fields.read("prompt_eval_count", embedding.prompt_tokens);
  }
  if (embedding.vectors.size() != count) return nonsense();
  embedding.prompt_tokens = std::clamp<int64_t>(embedding.prompt_tokens, 0, kBackendTokensMax);
  return embedding;
}

}  // namespace om::engine
