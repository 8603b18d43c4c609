#include "engine/local/stream_event.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "base/json_fields.h"
#include "base/memory/arena.h"
#include "base/utf8.h"

namespace om::engine {
namespace {

namespace json = boost::json;

// Walks over JSON text of one known shape. Any surprise makes a step answer false.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool literal(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  template <class Int>
  bool integer(Int& value) {
    const char* first = text_.data() + at_;
    const char* last = text_.data() + text_.size();
    // JSON knows no leading zeros.
    const char* digits = first < last && *first == '-' ? first + 1 : first;
    if (last - digits > 1 && *digits == '0' && digits[1] >= '0' && digits[1] <= '9') return false;
    auto [end, error] = std::from_chars(first, last, value);
    if (error != std::errc{}) return false;
    at_ += static_cast<size_t>(end - first);
    return true;
  }

  // After the opening quote, through the closing one. Leaves \u escapes to the full parser.
  bool string(std::string& value) {
    while (at_ < text_.size()) {
      const size_t plain = at_;
      while (at_ < text_.size() && is_plain(text_[at_])) at_++;
      value.append(text_, plain, at_ - plain);
      if (at_ == text_.size()) return false;
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') return at_++, true;
      if (c < 0x20) return false;
      if (c == '\\') {
        if (!escape(value)) return false;
        continue;
      }
      const size_t length = utf8_front(text_.substr(at_)).length;
      if (length == 0) return false;
      value.append(text_, at_, length);
      at_ += length;
    }
    return false;
  }

  bool at_end() const { return at_ == text_.size(); }

 private:
  static bool is_plain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
  }

  bool escape(std::string& value) {
    if (at_ + 1 >= text_.size()) return false;
    static constexpr std::string_view kEscapes = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const size_t which = kEscapes.find(text_[at_ + 1]);
    if (which == std::string_view::npos) return false;
    value += kMeanings[which];
    at_ += 2;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

int64_t number(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (!value) return 0;
  boost::system::error_code error;
  const auto result = value->to_number<int64_t>(error);
  return error ? 0 : result;
}

// Of tokens or milliseconds: far from where sums of them overflow.
int64_t count(const json::object& object, std::string_view name) {
  return std::clamp<int64_t>(number(object, name), 0, int64_t{1} << 40);
}

double real(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (!value) return 0;
  boost::system::error_code error;
  const auto result = value->to_number<double>(error);
  return error ? 0 : result;
}

// The token's own bytes: "token" is cut to valid UTF-8, "bytes" is not.
std::string token_bytes(const json::object& object) {
  const json::value* bytes = object.if_contains("bytes");
  if (!bytes || !bytes->is_array()) return JsonFields(object).text("token");
  std::string text;
  for (const json::value& byte : bytes->get_array()) {
    boost::system::error_code error;
    text += static_cast<char>(byte.to_number<uint8_t>(error));
    if (error) return JsonFields(object).text("token");
  }
  return text;
}

// An entry's "token" is the text sent with it, which is empty while text is withheld and joined
// afterwards; its own piece is found among the alternatives.
model::Logprob read_logprob(const json::object& entry) {
  model::Logprob result{.token = token_bytes(entry), .logprob = real(entry, "logprob"), .top = {}};
  const json::value* top = entry.if_contains("top_logprobs");
  if (!top || !top->is_array()) return result;
  for (const json::value& alternative : top->get_array()) {
    if (!alternative.is_object()) continue;
    const json::object& object = alternative.get_object();
    result.top.push_back({token_bytes(object), real(object, "logprob")});
    if (number(object, "id") == number(entry, "id")) result.token = result.top.back().token;
  }
  return result;
}

void read_final(const json::object& object, StreamEvent& event) {
  event.kind = StreamEvent::Kind::final;
  event.stop_type = JsonFields(object).text("stop_type");
  event.stop_word = JsonFields(object).text("stopping_word");
  const json::value* timings = object.if_contains("timings");
  if (!timings || !timings->is_object()) return;
  const json::object& times = timings->get_object();
  event.cached = number(times, "cache_n");
  event.prompt_ms = real(times, "prompt_ms");
  event.eval_ms = real(times, "predicted_ms");
}

Result<StreamEvent> read_error(const json::value& error) {
  StreamEvent event;
  event.kind = StreamEvent::Kind::error;
  if (error.is_object()) {
    event.text = JsonFields(error.get_object()).text("message");
    event.code = static_cast<int>(number(error.get_object(), "code"));
  } else if (error.is_string()) {
    event.text = error.get_string();
  }
  if (event.text.empty()) event.text = json::serialize(error);
  return event;
}

std::string shortened(std::string_view text) {
  std::string result(text.substr(0, 80));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '?';
  }
  return result;
}

}  // namespace

std::optional<StreamEvent> scan_token_event(std::string_view text) {
  Scanner scanner(text);
  StreamEvent event;
  int64_t ignored = 0;
  Token token = 0;
  if (!scanner.literal(R"({"index":)") || !scanner.integer(ignored)) return std::nullopt;
  if (!scanner.literal(R"(,"content":")") || !scanner.string(event.text)) return std::nullopt;
  if (!scanner.literal(R"(,"tokens":[)") || !scanner.integer(token)) return std::nullopt;
  event.tokens.push_back(token);
  if (!scanner.literal(R"(],"stop":false,"id_slot":)") || !scanner.integer(ignored)) {
    return std::nullopt;
  }
  if (!scanner.literal(R"(,"tokens_predicted":)") || !scanner.integer(event.predicted)) {
    return std::nullopt;
  }
  if (!scanner.literal(R"(,"tokens_evaluated":)") || !scanner.integer(event.evaluated)) {
    return std::nullopt;
  }
  if (!scanner.literal("}") || !scanner.at_end()) return std::nullopt;
  return event;
}

Result<StreamEvent> parse_event(std::string_view text) {
  boost::system::error_code failed;
  const auto arena = arenas().get();  // All that leaves this function is copied out of it.
  const json::value value = json::parse(text, failed, arena->json_storage());
  if (failed || !value.is_object()) {
    return fail(Errc::corrupt, "the runner sent an event that is not JSON: {}", shortened(text));
  }
  const json::object& object = value.get_object();
  if (const json::value* error = object.if_contains("error")) return read_error(*error);
  const json::value* stop = object.if_contains("stop");
  if (!stop || !stop->is_bool()) {
    return fail(Errc::corrupt, "the runner sent an unknown event: {}", shortened(text));
  }
  StreamEvent event;
  event.predicted = number(object, "tokens_predicted");
  event.evaluated = number(object, "tokens_evaluated");
  if (stop->get_bool()) {
    read_final(object, event);
    return event;
  }
  if (const json::value* progress = object.if_contains("prompt_progress")) {
    event.kind = StreamEvent::Kind::progress;  // Its token id is a filler.
    if (progress->is_object()) {
      const json::object& told = progress->get_object();
      const int64_t processed = event.processed = count(told, "processed");
      event.progress.evaluated = std::max<int64_t>(0, processed - count(told, "cache"));
      event.progress.left = std::max<int64_t>(0, count(told, "total") - processed);
      event.progress.time = std::chrono::milliseconds(count(told, "time_ms"));
    }
    return event;
  }
  event.text = JsonFields(object).text("content");
  if (const json::value* tokens = object.if_contains("tokens"); tokens && tokens->is_array()) {
    for (const json::value& token : tokens->get_array()) {
      event.tokens.push_back(token.to_number<Token>(failed));
      if (failed) return fail(Errc::corrupt, "the runner sent a token id that is no number");
    }
  }
  const json::value* entries = object.if_contains("completion_probabilities");
  if (entries && entries->is_array()) {
    for (const json::value& entry : entries->get_array()) {
      if (entry.is_object()) event.logprobs.push_back(read_logprob(entry.get_object()));
    }
  }
  return event;
}

Result<StreamEvent> read_stream_event(std::string_view text) {
  if (auto event = scan_token_event(text)) return std::move(*event);
  return parse_event(text);
}

std::string error_message(std::string_view body) {
  // Ollama passes this one on as it is, and clients look for the type in it.
  if (body.contains("\"exceed_context_size_error\"")) return std::string(body);
  boost::system::error_code failed;
  const json::value value = json::parse(body, failed);
  if (!failed && value.is_object()) {
    if (const json::value* error = value.get_object().if_contains("error")) {
      if (auto event = read_error(*error)) return event->text;
    }
  }
  return shortened(body);
}

Result<std::optional<std::string_view>> EventLines::next() {
  while (true) {
    const size_t end = buffer_.find('\n', std::max(scanned_, start_));
    if (end == std::string::npos) {
      buffer_.erase(0, start_);
      start_ = 0;
      scanned_ = buffer_.size();
      if (buffer_.size() > kStreamLineMax) {
        return fail(Errc::corrupt, "the runner sent a line longer than {} bytes", kStreamLineMax);
      }
      return std::optional<std::string_view>();
    }
    std::string_view line(buffer_.data() + start_, end - start_);
    start_ = scanned_ = end + 1;
    if (line.size() > kStreamLineMax) {
      return fail(Errc::corrupt, "the runner sent a line longer than {} bytes", kStreamLineMax);
    }
    TRY(auto data, data_of(line));
    if (data) return data;
  }
}

Result<std::optional<std::string_view>> EventLines::data_of(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::optional<std::string_view> nothing;
  if (line.empty() || line.starts_with(':')) return nothing;  // Separator, or a ping.
  if (!line.starts_with("data:")) {
    return fail(Errc::corrupt, "the runner sent a line that is no event: {}", shortened(line));
  }
  line.remove_prefix(5);
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (line == "[DONE]") return nothing;
  return std::optional<std::string_view>(line);
}

}  // namespace om::engine
