#include "app/cli/chat_session.h"

#include <unistd.h>

#include "app/cli/chat_help.h"
#include "app/cli/image_paths.h"
#include "app/cli/load_view.h"
#include "app/cli/terminal.h"
#include "base/base64.h"
#include "base/strings.h"
#include "model/options.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr uint64_t kImageBytesMax = uint64_t{64} << 20;

std::vector<ImagePath> images_in(io::World& world, std::string_view text) {
  return find_image_paths(text, [&](const std::string& path) { return world.files.exists(path); });
}

}  // namespace

Result<json::array> take_images(io::World& world, std::string& text) {
  const auto found = images_in(world, text);
  json::array images;
  for (const ImagePath& image : found) {
    TRY(const std::string bytes, world.files.read_file(image.path, kImageBytesMax));
    images.emplace_back(base64_encode(bytes));
    fmt::print(stderr, "Added image '{}'\n", image.path);
  }
  for (auto image = found.rbegin(); image != found.rend(); image++) {
    text.erase(image->begin, image->end - image->begin);
  }
  if (!images.empty()) text = trim(text);
  return images;
}

ChatSession::ChatSession(Cli& cli, json::object request, AnswerStyle style, bool sees_images,
                         std::string history_file)
    : cli_(cli),
      request_(std::move(request)),
      style_(style),
      sees_images_(sees_images),
      editor_(cli.world().files, std::move(history_file)),
      interrupt_(cli.real) {}

io::Task<Result<void>> ChatSession::preload() {
  json::object body = request_;
  body["messages"] = json::array{};
  body["stream"] = false;
  body["options"] = options_;
  LoadView view(cli_, text_of(request_, "model"));  // A large model loads for minutes.
  const auto loaded = co_await cli_.api.post("/api/chat", std::move(body), interrupt_.token());
  co_await view.end();
  if (interrupt_.came()) co_return fail(Errc::cancelled, "interrupted");
  co_return loaded ? Result<void>{} : Result<void>(fail(loaded.error()));
}

void ChatSession::print_before(const json::array& before) const {
  for (const json::value& message : before) {
    if (!message.is_object()) continue;
    const std::string role = text_of(message.as_object(), "role");
    const std::string content = text_of(message.as_object(), "content");
    if (role == "user") print(fmt::format(">>> {}\n", content));
    if (role != "assistant") continue;
    WordWrap wrap(style_.wrap ? terminal_width(STDOUT_FILENO) : 0);
    print(wrap.push(content) + "\n\n");
  }
}

CommandTask ChatSession::run(json::array before) {
  CO_TRY_VOID(co_await preload());
  print_before(before);
  std::string line;
  while (true) {
    // What was pressed during the last answer shall not end the next one: it is told by now.
    CO_TRY_VOID(co_await cli_.world().clock.sleep_for(std::chrono::milliseconds(1)));
    interrupt_.forget();
    const bool inside = in_block_ != Block::none;
    const auto end = editor_.read(inside ? "... " : ">>> ", line);
    if (end == LineEditor::End::closed) {
      print("\n");
      co_return Result<void>{};
    }
    if (end == LineEditor::End::interrupted) {
      in_block_ = Block::none;
      block_.clear();
      print("Use Ctrl + d or /bye to exit.\n");
      continue;
    }
    const bool may_be_command = end == LineEditor::End::line && !inside && line.starts_with("/");
    if (may_be_command && !begins_with_image(line)) {
      const Next next = co_await command(line);
      if (next == Next::leave) co_return Result<void>{};
      continue;
    }
    if (!take_multiline(line)) continue;
    if (trim(line).empty()) continue;
    const auto asked = co_await ask(line);
    if (!asked) print(fmt::format("Error: {}\n", asked.error().what));
  }
}

bool ChatSession::begins_with_image(const std::string& line) const {
  const auto found = images_in(cli_.world(), line);
  return !found.empty() && found.front().begin == 0;
}

bool ChatSession::take_multiline(std::string& line) {
  constexpr std::string_view kQuotes = "\"\"\"";
  if (in_block_ == Block::none) {
    if (!line.starts_with(kQuotes)) return true;
    line.erase(0, kQuotes.size());
    in_block_ = Block::prompt;
    block_.clear();
  }
  if (!line.ends_with(kQuotes)) {
    block_ += line + "\n";
    return false;
  }
  block_ += line.substr(0, line.size() - kQuotes.size());
  const Block kind = in_block_;
  in_block_ = Block::none;
  line = std::move(block_);
  block_.clear();
  if (kind == Block::prompt) return true;
  system_ = line;
  print("Set system message.\n");
  return false;
}

io::Task<Result<void>> ChatSession::ask(std::string text) {
  json::object message;
  message["role"] = "user";
  if (sees_images_) {
    CO_TRY(json::array images, take_images(cli_.world(), text));
    if (!images.empty()) message["images"] = std::move(images);
  }
  message["content"] = text;
  json::object body = request_;
  json::array messages;
  if (!system_.empty()) {
    json::object system;
    system["role"] = "system";
    system["content"] = system_;
    messages.push_back(std::move(system));
  }
  for (const json::value& earlier : messages_) messages.push_back(earlier);
  messages.push_back(message);
  body["messages"] = std::move(messages);
  body["options"] = options_;
  CO_TRY(AnswerText answer,
         co_await print_answer(cli_, interrupt_, "/api/chat", std::move(body), style_));
  if (!answer.complete) print("\n");
  // Stopped before a word was said: as if it had not been asked.
  if (!answer.complete && answer.content.empty() && answer.thinking.empty()) {
    co_return Result<void>{};
  }
  messages_.push_back(std::move(message));
  json::object reply;
  reply["role"] = "assistant";
  reply["content"] = answer.content;
  if (!answer.thinking.empty()) reply["thinking"] = answer.thinking;
  if (!answer.tool_calls.empty()) reply["tool_calls"] = std::move(answer.tool_calls);
  messages_.push_back(std::move(reply));
  co_return Result<void>{};
}

io::Task<ChatSession::Next> ChatSession::command(std::string line) {
  std::vector<std::string> words;
  for (const auto word : split_words(line)) words.emplace_back(word);
  const std::string& name = words[0];
  Result<void> result;
  if (name == "/bye" || name == "/exit") co_return Next::leave;
  if (name == "/?" || name == "/help") {
    print(chat_help(words.size() > 1 ? words[1] : ""));
  } else if (name == "/clear") {
    messages_.clear();
    print("Cleared session context\n");
  } else if (name == "/list") {
    result = co_await list_command(cli_, "");
  } else if (name == "/set") {
    result = co_await set(std::move(words), std::move(line));
  } else if (name == "/show") {
    result = co_await show(std::move(words));
  } else if (name == "/load" && words.size() == 2) {
    result = co_await load(words[1]);
  } else if (name == "/save" && words.size() == 2) {
    result = co_await save(words[1]);
  } else if (name == "/load" || name == "/save") {
    print(fmt::format("Usage:\n  {} <modelname>\n", name));
  } else {
    print(fmt::format("Unknown command '{}'. Type /? for help\n", name));
  }
  if (!result) print(fmt::format("Error: {}\n", result.error().what));
  co_return Next::go_on;
}

Result<void> ChatSession::set_parameter(const std::vector<std::string>& words) {
  if (words.size() < 4) {
    print(chat_help("set-parameter"));
    return {};
  }
  json::object parsed;
  for (size_t i = 3; i < words.size(); i++) {
    TRY(auto value, model::parse_parameter(words[2], words[i]));
    model::add_parameter(parsed, words[2], std::move(value));
  }
  for (const auto& [key, value] : parsed) options_[key] = value;
  print(fmt::format("Set parameter '{}' to '{}'\n", words[2],
                    fmt::join(words.begin() + 3, words.end(), "', '")));
  return {};
}

io::Task<Result<void>> ChatSession::set(std::vector<std::string> words, std::string line) {
  const std::string what = words.size() > 1 ? words[1] : "";
  if (what == "history" || what == "nohistory") {
    editor_.set_history(what == "history");
  } else if (what == "wordwrap" || what == "nowordwrap") {
    style_.wrap = what == "wordwrap";
    print(what == "wordwrap" ? "Set 'wordwrap' mode.\n" : "Set 'nowordwrap' mode.\n");
  } else if (what == "verbose" || what == "quiet") {
    style_.verbose = what == "verbose";
    print(fmt::format("Set '{}' mode.\n", what));
  } else if (what == "format" && words.size() == 3 && words[2] == "json") {
    request_["format"] = "json";
    print("Set format to 'json' mode.\n");
  } else if (what == "noformat") {
    request_.erase("format");
    print("Disabled format.\n");
  } else if (what == "think") {
    if (words.size() > 2) {
      request_["think"] = words[2];
    } else {
      request_["think"] = true;
    }
    print("Set 'think' mode.\n");
  } else if (what == "nothink") {
    request_["think"] = false;
    print("Set 'nothink' mode.\n");
  } else if (what == "parameter") {
    co_return set_parameter(words);
  } else if (what == "system" && words.size() > 2) {
    std::string text(trim(std::string_view(line).substr(line.find("system") + 6)));
    if (text.starts_with("\"\"\"")) {
      text.erase(0, 3);
      in_block_ = Block::system;
      block_.clear();
      (void)take_multiline(text);  // The block may go on over the next lines.
      co_return Result<void>{};
    }
    if (text.size() > 1 && text.front() == '"' && text.back() == '"') {
      text = text.substr(1, text.size() - 2);
    }
    system_ = std::move(text);
    print("Set system message.\n");
  } else {
    print(chat_help("set"));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> ChatSession::show(std::vector<std::string> words) {
  const std::string what = words.size() > 1 ? words[1] : "";
  ShowOptions options;
  options.model = text_of(request_, "model");
  options.license = what == "license";
  options.modelfile = what == "modelfile";
  options.template_text = what == "template";
  if (what == "parameters") {
    if (!options_.empty()) {
      print("User defined parameters:\n");
      for (const auto& [key, value] : options_) {
        print(fmt::format("  {:<30} {}\n", std::string_view(key), json::serialize(value)));
      }
      print("\nModel defined parameters:\n");
    }
    options.parameters = true;
  } else if (what == "system") {
    if (!system_.empty()) {
      print(system_ + "\n");
      co_return Result<void>{};
    }
    options.system = true;
  } else if (what != "info" && !options.license && !options.modelfile && !options.template_text) {
    print(chat_help("show"));
    co_return Result<void>{};
  }
  co_return co_await show_command(cli_, std::move(options));
}

io::Task<Result<void>> ChatSession::load(std::string model) {
  const json::value before = request_["model"];
  request_["model"] = model;
  print(fmt::format("Loading model '{}'\n", model));
  auto loaded = co_await preload();
  if (!loaded) {
    request_["model"] = before;
    co_return loaded;
  }
  messages_.clear();  // Parameters and the system text stay, as in Ollama.
  co_return Result<void>{};
}

io::Task<Result<void>> ChatSession::save(std::string name) {
  json::object body;
  body["model"] = name;
  body["from"] = request_["model"];
  body["stream"] = false;
  if (!system_.empty()) body["system"] = system_;
  if (!options_.empty()) body["parameters"] = options_;
  if (!messages_.empty()) body["messages"] = messages_;
  CO_TRY(const json::value reply, co_await cli_.api.post("/api/create", std::move(body)));
  print(fmt::format("Created new model '{}'\n", name));
  co_return Result<void>{};
}

}  // namespace om::app
