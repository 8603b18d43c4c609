// Reading answers in the dialects of Ollama and OpenAI.
#include <boost/json.hpp>

#include "http/event_stream.h"
#include "sim/client_for_test.h"

namespace om::sim {

namespace json = boost::json;

namespace {

std::string text_of(const json::value* value) {
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

int64_t number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

class JsonReader : public AnswerReader {
 public:
  using AnswerReader::AnswerReader;

 protected:
  void nonsense(std::string_view text) {
    if (exchange_.nonsense.empty()) exchange_.nonsense = text.empty() ? "(empty)" : text;
  }
  // An object that is no error.
  std::optional<json::object> parse(std::string_view text) {
    boost::system::error_code failed;
    json::value value = json::parse(text, failed);
    if (failed || !value.is_object()) {
      nonsense(text);
      return std::nullopt;
    }
    const json::value* usage = value.get_object().if_contains("usage");
    const bool is_usage = usage != nullptr && usage->is_object();  // Comes last, if asked for.
    if (exchange_.ends > 0 && !is_usage) exchange_.after_end = true;
    if (const json::value* error = value.get_object().if_contains("error")) {
      exchange_.error =
          error->is_object() ? text_of(error->get_object().if_contains("message")) : text_of(error);
      if (exchange_.error.empty()) nonsense(text);
      return std::nullopt;
    }
    return std::move(value.get_object());
  }
  void take_ollama(std::string_view line) {
    const auto object = parse(line);
    if (!object) return;
    if (exchange_.route == Route::generate) {
      exchange_.text += text_of(object->if_contains("response"));
    } else if (const json::value* message = object->if_contains("message")) {
      exchange_.text += text_of(message->as_object().if_contains("content"));
    }
    const json::value* done = object->if_contains("done");
    if (done == nullptr || !done->is_bool()) return nonsense(line);
    if (!done->get_bool()) return;
    exchange_.ends++;
    exchange_.reason = text_of(object->if_contains("done_reason"));
    exchange_.prompt_count = number_of(*object, "prompt_eval_count");
    exchange_.output_count = number_of(*object, "eval_count");
  }
  // A whole reply or one event of a stream; they differ in the name of the text's place.
  void take_openai(std::string_view data, std::string_view place) {
    const auto object = parse(data);
    if (!object) return;
    if (const json::value* usage = object->if_contains("usage"); usage && usage->is_object()) {
      exchange_.prompt_count = number_of(usage->get_object(), "prompt_tokens");
      exchange_.output_count = number_of(usage->get_object(), "completion_tokens");
    }
    const json::value* choices = object->if_contains("choices");
    if (choices == nullptr || !choices->is_array()) return nonsense(data);
    for (const json::value& choice : choices->get_array()) {
      const json::value* message = choice.as_object().if_contains(place);
      if (message != nullptr)
        exchange_.text += text_of(message->as_object().if_contains("content"));
      const std::string reason = text_of(choice.as_object().if_contains("finish_reason"));
      if (reason.empty()) continue;
      exchange_.ends++;
      exchange_.reason = reason;
    }
  }
};

// One JSON text: an error, or an answer that was not streamed.
class WholeReader final : public JsonReader {
 public:
  using JsonReader::JsonReader;
  void take(std::string_view bytes) override { body_ += bytes; }
  void finish() override {
    if (exchange_.status != 200) {
      if (parse(body_)) nonsense(body_);
    } else if (exchange_.route == Route::openai_chat) {
      take_openai(body_, "message");
    } else {
      take_ollama(body_);
    }
  }

 private:
  std::string body_;
};

class LineReader final : public JsonReader {
 public:
  using JsonReader::JsonReader;
  void take(std::string_view bytes) override {
    std::string_view line;
    while (true) {
      const auto whole = lines_.next(bytes, line);
      if (!whole) return nonsense(whole.error().what);
      if (!*whole) return;
      take_ollama(line);
    }
  }
  void finish() override {
    if (!lines_.rest().empty()) nonsense(lines_.rest());
  }

 private:
  http::NdjsonReader lines_;
};

class EventReader final : public JsonReader {
 public:
  using JsonReader::JsonReader;
  void take(std::string_view bytes) override {
    while (true) {
      const auto whole = events_.next(bytes, event_);
      if (!whole) return nonsense(whole.error().what);
      if (!*whole) return;
      if (closed_) exchange_.after_end = true;
      if (event_.data == "[DONE]") {
        closed_ = true;
      } else {
        take_openai(event_.data, "delta");
      }
    }
  }
  void finish() override {
    if (exchange_.ends > 0 && !closed_) nonsense("the stream ended without [DONE]");
  }

 private:
  http::SseReader events_;
  http::SseEvent event_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<AnswerReader> AnswerReader::make(Exchange& exchange) {
  if (exchange.status != 200 || !exchange.stream) return std::make_unique<WholeReader>(exchange);
  if (exchange.route == Route::openai_chat) return std::make_unique<EventReader>(exchange);
  return std::make_unique<LineReader>(exchange);
}

}  // namespace om::sim
