#include "api/openai_request.h"

#include "api/openai_content.h"
#include "api/request_limits.h"
#include "model/json_text.h"
#include "model/request_fields.h"

namespace om::api {

namespace json = boost::json;

namespace {

// temperature and top_p stay absent if the caller left them out: Ollama sets both to 1.0 then and
// so overrides the model's own PARAMETERs.
Result<void> parse_sampling(const Fields& fields, json::object& options) {
  TRY_VOID(fields.copy_number("temperature", options, "temperature"));
  TRY_VOID(fields.copy_number("top_p", options, "top_p"));
  TRY_VOID(fields.copy_number("frequency_penalty", options, "frequency_penalty"));
  TRY_VOID(fields.copy_number("presence_penalty", options, "presence_penalty"));
  TRY_VOID(fields.copy_integer("seed", options, "seed"));
  TRY(auto stop, fields.strings("stop"));
  if (!stop.empty()) options["stop"] = json::array(stop.begin(), stop.end());
  return {};
}

Result<int> parse_choices(const Fields& fields) {
  TRY(auto choices, fields.integer("n"));
  if (choices.value_or(1) < 1 || choices.value_or(1) > kChoicesMax) {
    return fail(Errc::invalid_argument, "'n' must be between 1 and {}", kChoicesMax);
  }
  return static_cast<int>(choices.value_or(1));
}

Result<void> parse_streaming(const Fields& fields, bool& stream, bool& include_usage) {
  TRY(auto wanted, fields.boolean("stream"));
  stream = wanted.value_or(false);
  TRY(auto options, fields.object("stream_options"));
  if (!options) return {};
  TRY(auto usage, options->boolean("include_usage"));
  include_usage = usage.value_or(false);
  return {};
}

Result<model::Format> parse_response_format(const Fields& fields) {
  TRY(auto format, fields.object("response_format"));
  if (!format) return model::Format{};
  TRY(auto type, format->required_string("type"));
  if (type == "text") return model::Format{};
  if (type == "json_object") return model::Format{.kind = model::Format::Kind::json};
  if (type != "json_schema") {
    return fail(Errc::invalid_argument,
                "'response_format.type' must be \"text\", \"json_object\" or \"json_schema\", not "
                "\"{}\"",
                type);
  }
  TRY(auto schema, format->object("json_schema"));
  if (!schema) return fail(Errc::invalid_argument, "'response_format.json_schema' is required");
  return parse_schema(*schema, "schema");
}

Result<model::LogprobRequest> parse_chat_logprobs(const Fields& fields) {
  TRY(auto enabled, fields.boolean("logprobs"));
  TRY(auto top, fields.integer("top_logprobs"));
  TRY_VOID(check_top_logprobs(top.value_or(0)));
  if (top.value_or(0) > 0 && !enabled.value_or(false)) {
    return fail(Errc::invalid_argument, "'top_logprobs' needs 'logprobs' to be true");
  }
  return model::LogprobRequest{.enabled = enabled.value_or(false),
                               .top = static_cast<int>(top.value_or(0))};
}

// `echo` and `logprobs` together would need the prompt's own probabilities, which runners do not
// give: the echoed text comes without them.
Result<model::LogprobRequest> parse_completion_logprobs(const Fields& fields) {
  TRY(auto top, fields.integer("logprobs"));
  if (!top) return model::LogprobRequest{};
  if (*top < 0 || *top > kTopLogprobsMax) {
    return fail(Errc::invalid_argument, "'logprobs' must be between 0 and {}", kTopLogprobsMax);
  }
  return model::LogprobRequest{.enabled = true, .top = static_cast<int>(*top)};
}

Result<std::vector<std::string>> parse_prompts(const Fields& fields) {
  const json::value* prompt = fields.find("prompt");
  if (!prompt) return std::vector<std::string>{""};
  if (const json::array* list = prompt->if_array()) {
    TRY_VOID(check_list_size(*list, kPromptsMax, "prompt"));
    if (list->empty()) return fail(Errc::invalid_argument, "[] is too short - 'prompt'");
    if (!list->front().is_string()) {
      return fail(Errc::invalid_argument,
                  "'prompt' as token ids is not supported; send it as a string");
    }
  }
  return fields.strings("prompt");
}

Result<void> parse_tools(const Fields& fields, model::ChatRequest& request) {
  TRY(auto tools, fields.array("tools"));
  if (tools) {
    TRY_VOID(check_list_size(*tools, kToolsMax, "tools"));
    TRY(request.tools, parse_openai_tools(*tools));
  }
  if (const json::value* choice = fields.find("tool_choice")) {
    TRY(request.tool_choice, take_openai_tool_choice(*choice, request.tools));
  }
  TRY(auto parallel, fields.boolean("parallel_tool_calls"));
  request.parallel_tool_calls = parallel.value_or(true);
  return {};
}

// What clients of Ollama, vLLM and llama-server say where OpenAI has an effort.
Result<model::Think> parse_local_think(const Fields& fields) {
  model::Think think;
  if (const json::value* told = fields.find("think")) {
    TRY(think, model::parse_think(*told));
  } else {
    TRY(auto keywords, fields.object("chat_template_kwargs"));
    if (!keywords) return think;
    TRY(auto enabled, keywords->boolean("enable_thinking"));
    think.is_set = enabled.has_value();
    think.enabled = enabled.value_or(false);
  }
  think.if_able = true;
  return think;
}

}  // namespace

Result<model::Think> parse_effort(const Fields& fields) {
  std::optional<std::string> effort;
  TRY(auto reasoning, fields.object("reasoning"));
  if (reasoning) {
    TRY(effort, reasoning->string("effort"));
  }
  if (effort.value_or("").empty()) {
    TRY(effort, fields.string("reasoning_effort"));
  }
  if (effort.value_or("").empty()) return parse_local_think(fields);
  return parse_reasoning_effort(*effort);
}

Result<void> parse_local_members(const Fields& fields, model::KeepAlive& keep_alive,
                                 json::object& options) {
  if (const json::value* told = fields.find("keep_alive")) {
    TRY(keep_alive, model::parse_keep_alive(*told));
  }
  TRY_VOID(fields.object("options"));
  if (const json::value* told = fields.find("options")) options = told->get_object();
  return {};
}

Result<std::string> parse_model(const Fields& fields) {
  TRY(auto name, fields.string("model"));
  if (name.value_or("").empty()) return fail(Errc::invalid_argument, "model is required");
  return std::move(*name);
}

Result<model::Format> parse_schema(const Fields& fields, std::string_view name) {
  const json::value* schema = fields.find(name);
  if (!schema) return fail(Errc::invalid_argument, "'{}' is required", fields.where(name));
  if (!schema->is_object()) {
    return fail(Errc::invalid_argument, "'{}' must be an object, not {}", fields.where(name),
                kind_name(*schema));
  }
  return model::Format{.kind = model::Format::Kind::schema, .schema = model::write_json(*schema)};
}

Result<void> copy_token_limit(const Fields& fields, std::initializer_list<std::string_view> names,
                              json::object& options) {
  for (std::string_view name : names) {
    TRY(auto limit, fields.integer(name));
    if (!limit) continue;
    if (*limit < 1 && *limit != -1) {
      return fail(Errc::invalid_argument, "'{}' must be at least 1", fields.where(name));
    }
    // Clients of local servers say -1 for "no limit", as Ollama does.
    options["num_predict"] = std::min<int64_t>(*limit, std::numeric_limits<int32_t>::max());
    return {};
  }
  return {};
}

void vary_seed(json::object& options, int index) {
  json::value* seed = options.if_contains("seed");
  if (!seed || index == 0 || !seed->is_int64()) return;  // Of another type: refused later.
  // Through unsigned, which wraps where a signed sum would not be defined.
  *seed = static_cast<int64_t>(static_cast<uint64_t>(seed->as_int64()) + index);
}

Result<ChatCompletion> parse_chat_completion(const json::object& body) {
  Fields fields(body);
  ChatCompletion chat;
  model::RequestCommon& common = chat.request.common;
  TRY(common.model, parse_model(fields));
  TRY(auto messages, fields.array("messages"));
  if (!messages || messages->empty()) {
    return fail(Errc::invalid_argument, "[] is too short - 'messages'");
  }
  TRY_VOID(check_list_size(*messages, kMessagesMax, "messages"));
  TRY(chat.request.messages, parse_openai_messages(*messages));
  TRY_VOID(check_messages(chat.request.messages));
  TRY_VOID(parse_tools(fields, chat.request));
  TRY_VOID(parse_local_members(fields, common.keep_alive, common.options));
  TRY_VOID(parse_sampling(fields, common.options));
  TRY_VOID(copy_token_limit(fields, {"max_completion_tokens", "max_tokens"}, common.options));
  TRY(common.format, parse_response_format(fields));
  TRY(common.think, parse_effort(fields));
  TRY(common.logprobs, parse_chat_logprobs(fields));
  TRY(chat.choices, parse_choices(fields));
  TRY_VOID(parse_streaming(fields, common.stream, chat.include_usage));
  return chat;
}

Result<Completion> parse_completion(const json::object& body) {
  Fields fields(body);
  Completion completion;
  model::RequestCommon& common = completion.request.common;
  TRY(common.model, parse_model(fields));
  TRY(completion.prompts, parse_prompts(fields));
  TRY(auto suffix, fields.string("suffix"));
  completion.request.suffix = suffix.value_or("");
  TRY_VOID(parse_local_members(fields, common.keep_alive, common.options));
  TRY_VOID(parse_sampling(fields, common.options));
  TRY_VOID(copy_token_limit(fields, {"max_tokens"}, common.options));
  TRY(common.think, parse_effort(fields));
  TRY(common.logprobs, parse_completion_logprobs(fields));
  TRY(completion.choices, parse_choices(fields));
  TRY(auto best_of, fields.integer("best_of"));
  if (best_of && *best_of != completion.choices) {
    return fail(Errc::invalid_argument, "'best_of' other than 'n' is not supported");
  }
  TRY(auto echo, fields.boolean("echo"));
  completion.echo = echo.value_or(false);
  TRY_VOID(parse_streaming(fields, common.stream, completion.include_usage));
  return completion;
}

Result<Embeddings> parse_embeddings(const json::object& body) {
  Fields fields(body);
  Embeddings embeddings;
  TRY(embeddings.request.model, parse_model(fields));
  const json::value* input = fields.find("input");
  if (!input) return fail(Errc::invalid_argument, "invalid input");
  if (const json::array* list = input->if_array()) {
    if (list->empty()) return fail(Errc::invalid_argument, "invalid input");
    TRY_VOID(check_list_size(*list, kEmbeddingInputsMax, "input"));
    if (!list->front().is_string()) {
      return fail(Errc::invalid_argument,
                  "'input' as token ids is not supported; send it as strings (LangChain: "
                  "check_embedding_ctx_length=False)");
    }
  }
  TRY(embeddings.request.input, fields.strings("input"));
  TRY(auto encoding, fields.string("encoding_format"));
  if (encoding && *encoding != "float" && *encoding != "base64") {
    return fail(Errc::invalid_argument, "'encoding_format' must be \"float\" or \"base64\"");
  }
  embeddings.base64 = encoding.value_or("float") == "base64";
  TRY(auto dimensions, fields.integer("dimensions"));
  if (dimensions && (*dimensions < 1 || *dimensions > std::numeric_limits<int32_t>::max())) {
    return fail(Errc::invalid_argument, "'dimensions' must be at least 1");
  }
  embeddings.request.dimensions = static_cast<int>(dimensions.value_or(0));
  TRY_VOID(parse_local_members(fields, embeddings.request.keep_alive, embeddings.request.options));
  return embeddings;
}

}  // namespace om::api
