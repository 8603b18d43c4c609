// run: one question, or a chat.
#include <unistd.h>

#include "app/cli/answer_view.h"
#include "app/cli/chat_session.h"
#include "app/cli/progress_lines.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr size_t kInputMax = size_t{64} << 20;

// "json", or a schema.
Result<json::value> format_value(const std::string& text) {
  if (text == "json") return json::value(text);
  boost::system::error_code error;
  json::value schema = json::parse(text, error);
  if (!error) return schema;
  return fail(Errc::invalid_argument, "invalid value for --format: expected json or a JSON schema");
}

// What show says; pulls the model first if it is missing.
io::Task<Result<json::object>> find_model(Cli& cli, std::string model, bool insecure) {
  json::object body;
  body["model"] = model;
  auto shown = co_await cli.api.post("/api/show", body);
  if (!shown && shown.error().code == Errc::not_found) {
    CO_TRY_VOID(co_await transfer_command(cli, "pull", model, insecure));
    shown = co_await cli.api.post("/api/show", body);
  }
  if (!shown) co_return fail(shown.error());
  if (!shown->is_object()) co_return fail(Errc::corrupt, "the server's answer is no object");
  co_return shown->as_object();
}

bool has_capability(const json::object& shown, std::string_view name) {
  const json::value* list = shown.if_contains("capabilities");
  if (list == nullptr || !list->is_array()) return false;
  for (const json::value& entry : list->as_array()) {
    if (entry.is_string() && entry.as_string() == name) return true;
  }
  return false;
}

Result<json::value> think_value(const std::string& text) {
  if (text == "true") return json::value(true);
  if (text == "false") return json::value(false);
  for (const char* level : {"low", "medium", "high", "max"}) {
    if (text == level) return json::value(text);
  }
  return fail(Errc::invalid_argument,
              "invalid value for --think: \"{}\" (must be true, false, high, medium, low or max)",
              text);
}

// As Ollama prints it: the shortest texts that give the same float32 again.
Result<void> print_vector(const json::value& vector) {
  if (!vector.is_array()) return fail(Errc::corrupt, "the server sent no embedding");
  std::string line;
  for (const json::value& number : vector.get_array()) {
    boost::system::error_code error;
    const auto value = number.to_number<float>(error);
    if (error) return fail(Errc::corrupt, "the server's embedding holds something else");
    line += fmt::format("{}{}", line.empty() ? "" : ",", value);
  }
  print("[" + line + "]\n");
  return {};
}

CommandTask embed(Cli& cli, const RunOptions& options, std::string prompt) {
  json::object body;
  body["model"] = options.model;
  body["input"] = prompt;
  body["truncate"] = options.truncate;
  if (options.dimensions > 0) body["dimensions"] = options.dimensions;
  if (!options.keep_alive.empty()) body["keep_alive"] = options.keep_alive;
  CO_TRY(const json::value reply, co_await cli.api.post("/api/embed", std::move(body)));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  const json::value* vectors = reply.as_object().if_contains("embeddings");
  if (vectors == nullptr || !vectors->is_array() || vectors->as_array().empty()) {
    co_return fail(Errc::corrupt, "the server sent no embedding");
  }
  co_return print_vector(vectors->as_array()[0]);
}

Result<json::object> request_of(const RunOptions& options) {
  json::object request;
  request["model"] = options.model;
  if (!options.keep_alive.empty()) request["keep_alive"] = options.keep_alive;
  if (!options.format.empty()) {
    TRY(request["format"], format_value(options.format));
  }
  if (options.think) {
    TRY(request["think"], think_value(*options.think));
  }
  return request;
}

std::string prompt_of(const RunOptions& options) {
  std::string prompt = fmt::format("{}", fmt::join(options.prompt, " "));
  if (is_terminal(STDIN_FILENO)) return prompt;
  const std::string input = read_to_end(STDIN_FILENO, kInputMax);
  // One word more, as in Ollama: scripts may count on it.
  return prompt.empty() ? input : input.empty() ? prompt : input + " " + prompt;
}

CommandTask chat(Cli& cli, json::object request, AnswerStyle style, const json::object& shown,
                 std::string history_file) {
  // Whoever only asks other machines has no folder of a node's yet; and where it cannot be made,
  // as in one of the node's own user, the chat remembers its lines for itself.
  if (!history_file.empty() && !cli.world().files.make_directories(io::parent(history_file))) {
    history_file.clear();
  }
  const bool sees = has_capability(shown, "vision");
  ChatSession session(cli, std::move(request), style, sees, std::move(history_file));
  const json::value* before = shown.if_contains("messages");
  co_return co_await session.run(before && before->is_array() ? before->as_array() : json::array{});
}

}  // namespace

CommandTask run_command(Cli& cli, RunOptions options) {
  CO_TRY(json::object request, request_of(options));
  CO_TRY(const json::object shown, co_await find_model(cli, options.model, options.insecure));
  std::string prompt = prompt_of(options);
  AnswerStyle style;
  style.wrap = is_terminal(STDOUT_FILENO) && !options.no_word_wrap;
  style.hide_thinking = options.hide_thinking;
  style.verbose = options.verbose;
  style.json = cli.json;

  if (has_capability(shown, "embedding") && !has_capability(shown, "completion")) {
    if (prompt.empty()) {
      co_return fail(Errc::invalid_argument, "embedding models require input text");
    }
    co_return co_await embed(cli, options, std::move(prompt));
  }
  // As in Ollama: `run MODEL ""` only loads it.
  if (options.prompt.empty() && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO)) {
    co_return co_await chat(cli, std::move(request), style, shown, options.history_file);
  }
  if (has_capability(shown, "vision")) {
    CO_TRY(json::array images, take_images(cli.world(), prompt));
    if (!images.empty()) request["images"] = std::move(images);
  }
  request["prompt"] = prompt;
  const Interrupt interrupt(cli.real);
  CO_TRY(const AnswerText answer,
         co_await print_answer(cli, interrupt, "/api/generate", std::move(request), style));
  if (!answer.complete) co_return fail(Errc::cancelled, "interrupted");
  co_return Result<void>{};
}

}  // namespace om::app
