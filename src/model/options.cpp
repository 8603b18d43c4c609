#include "model/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <variant>

#include "model/json_text.h"

namespace om::model {
namespace {

// Where an option's value goes. An optional one is left to the machine by `automatic`.
using Target =
    std::variant<int Sampling::*, int64_t Sampling::*, double Sampling::*,
                 std::vector<std::string> Sampling::*, std::optional<int> RunnerOptions::*,
                 std::optional<bool> RunnerOptions::*>;

struct Option {
  std::string_view name;
  Target target;
};

constexpr std::array kOptions{
    Option{"num_ctx", &RunnerOptions::num_ctx},
    Option{"num_batch", &RunnerOptions::num_batch},
    Option{"num_gpu", &RunnerOptions::num_gpu},
    Option{"main_gpu", &RunnerOptions::main_gpu},
    Option{"num_thread", &RunnerOptions::num_thread},
    Option{"draft_num_predict", &RunnerOptions::draft_num_predict},
    Option{"use_mmap", &RunnerOptions::use_mmap},
    Option{"num_keep", &Sampling::num_keep},
    Option{"num_predict", &Sampling::num_predict},
    Option{"seed", &Sampling::seed},
    Option{"top_k", &Sampling::top_k},
    Option{"top_p", &Sampling::top_p},
    Option{"min_p", &Sampling::min_p},
    Option{"typical_p", &Sampling::typical_p},
    Option{"temperature", &Sampling::temperature},
    Option{"repeat_last_n", &Sampling::repeat_last_n},
    Option{"repeat_penalty", &Sampling::repeat_penalty},
    Option{"presence_penalty", &Sampling::presence_penalty},
    Option{"frequency_penalty", &Sampling::frequency_penalty},
    Option{"stop", &Sampling::stop},
};

constexpr std::array<std::string_view, 10> kDeprecated{
    "penalize_newline", "low_vram", "f16_kv", "logits_all",   "vocab_only",
    "use_mlock",        "mirostat", "numa",   "mirostat_tau", "mirostat_eta"};

const Option* find_option(std::string_view name) {
  auto at = std::ranges::find(kOptions, name, &Option::name);
  return at == kOptions.end() ? nullptr : &*at;
}

std::unexpected<Error> wrong_type(std::string_view name, std::string_view type) {
  return fail(Errc::invalid_argument, "option \"{}\" must be of type {}", name, type);
}

// Whole numbers as they are, others with the fraction cut off.
template <class Integer>
Result<Integer> to_integer(std::string_view name, const boost::json::value& value) {
  if (!value.is_number()) return wrong_type(name, "integer");
  if (value.is_double()) {
    double whole = std::trunc(value.get_double());
    // The largest Integer is no double; the one above it is.
    double limit = std::ldexp(1.0, std::numeric_limits<Integer>::digits);
    if (!(whole >= -limit && whole < limit)) {
      return fail(Errc::invalid_argument, "option \"{}\" is out of range", name);
    }
    return static_cast<Integer>(whole);
  }
  boost::system::error_code error;
  auto number = value.to_number<Integer>(error);
  if (error) return fail(Errc::invalid_argument, "option \"{}\" is out of range", name);
  return number;
}

Result<std::vector<std::string>> to_strings(std::string_view name,
                                            const boost::json::value& value) {
  const auto* list = value.if_array();
  if (!list) return wrong_type(name, "array");
  std::vector<std::string> texts;
  for (const auto& element : *list) {
    if (!element.is_string()) {
      return fail(Errc::invalid_argument, "option \"{}\" must be of an array of strings", name);
    }
    texts.emplace_back(element.get_string());
  }
  return texts;
}

// Sets one option, chosen by the type of its target.
struct Setter {
  Options& options;
  std::string_view name;
  const boost::json::value& value;

  Result<void> operator()(int Sampling::* target) const {
    TRY(options.sampling.*target, to_integer<int>(name, value));
    return {};
  }
  Result<void> operator()(int64_t Sampling::* target) const {
    TRY(options.sampling.*target, to_integer<int64_t>(name, value));
    return {};
  }
  Result<void> operator()(double Sampling::* target) const {
    if (!value.is_number()) return wrong_type(name, "float32");
    options.sampling.*target = value.to_number<double>();
    return {};
  }
  Result<void> operator()(std::vector<std::string> Sampling::* target) const {
    TRY(options.sampling.*target, to_strings(name, value));
    return {};
  }
  Result<void> operator()(std::optional<int> RunnerOptions::* target) const {
    TRY(int number, to_integer<int>(name, value));
    // What Ollama writes for "choose yourself".
    bool automatic = name == "num_gpu"                                   ? number < 0
                     : name == "main_gpu" || name == "draft_num_predict" ? false
                                                                         : number <= 0;
    options.runner.*target = automatic ? std::nullopt : std::optional(number);
    return {};
  }
  Result<void> operator()(std::optional<bool> RunnerOptions::* target) const {
    if (!value.is_bool()) return wrong_type(name, "boolean");
    options.runner.*target = value.get_bool();
    return {};
  }
};

Result<boost::json::value> parse_integer(std::string_view text) {
  int64_t number = 0;
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Errc::invalid_argument, "invalid int value [{}]", text);
  }
  return boost::json::value(number);
}

Result<boost::json::value> parse_float(std::string_view text) {
  double number = 0;
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
    return fail(Errc::invalid_argument, "invalid float value [{}]", text);
  }
  return boost::json::value(number);
}

Result<boost::json::value> parse_boolean(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return boost::json::value(true);
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return boost::json::value(false);
  }
  return fail(Errc::invalid_argument, "invalid bool value [{}]", text);
}

struct TextParser {
  std::string_view text;

  Result<boost::json::value> operator()(int Sampling::*) const { return parse_integer(text); }
  Result<boost::json::value> operator()(int64_t Sampling::*) const { return parse_integer(text); }
  Result<boost::json::value> operator()(double Sampling::*) const { return parse_float(text); }
  Result<boost::json::value> operator()(std::vector<std::string> Sampling::*) const {
    return boost::json::value(boost::json::array{boost::json::value(text)});
  }
  Result<boost::json::value> operator()(std::optional<int> RunnerOptions::*) const {
    return parse_integer(text);
  }
  Result<boost::json::value> operator()(std::optional<bool> RunnerOptions::*) const {
    return parse_boolean(text);
  }
};

// Ordered by name, so that the same params always give the same bytes and digest.
std::map<std::string, const boost::json::value*> sorted(const boost::json::object& params) {
  std::map<std::string, const boost::json::value*> result;
  for (const auto& [key, value] : params) result.emplace(std::string(key), &value);
  return result;
}

}  // namespace

Result<void> Options::apply(const boost::json::object& values) {
  Options changed = *this;
  for (const auto& [key, value] : values) {
    std::string_view name = key;
    const Option* option = find_option(name);
    if (!option) {
      if (!is_deprecated_option(name) &&
          std::ranges::find(changed.unknown, name) == changed.unknown.end()) {
        changed.unknown.emplace_back(name);
      }
      continue;
    }
    if (value.is_null()) continue;
    TRY_VOID(std::visit(Setter{changed, name, value}, option->target));
  }
  *this = std::move(changed);
  return {};
}

bool is_deprecated_option(std::string_view name) {
  return std::ranges::find(kDeprecated, name) != kDeprecated.end();
}

Result<boost::json::value> parse_parameter(std::string_view name, std::string_view text) {
  if (is_deprecated_option(name)) return boost::json::value(nullptr);
  const Option* option = find_option(name);
  if (!option) return fail(Errc::invalid_argument, "unknown parameter '{}'", name);
  return std::visit(TextParser{text}, option->target);
}

void add_parameter(boost::json::object& params, std::string_view name, boost::json::value value) {
  if (value.is_null()) return;
  auto* existing = params.if_contains(name);
  if (existing && existing->is_array() && value.is_array()) {
    for (auto& element : value.get_array()) existing->get_array().push_back(std::move(element));
  } else {
    params[name] = std::move(value);
  }
}

std::string params_to_json(const boost::json::object& params) {
  std::string out;
  for (const auto& [name, value] : sorted(params)) {
    out += out.empty() ? '{' : ',';
    write_json_string(out, name);
    out += ':';
    write_json(out, *value);
  }
  return (out.empty() ? "{" : out) + "}\n";
}

std::string parameters_text(const boost::json::object& params) {
  std::string out;
  const auto add = [&out](std::string_view name, const boost::json::value& value) {
    std::string text = value.is_string() ? go_quote(value.get_string()) : write_json(value);
    if (!out.empty()) out += '\n';
    out += fmt::format("{:<30} {}", name, text);
  };
  for (const auto& [name, value] : sorted(params)) {
    if (const auto* list = value->if_array()) {
      for (const auto& element : *list) add(name, element);
    } else {
      add(name, *value);
    }
  }
  return out;
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\a':
        out += "\\a";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\v':
        out += "\\v";
        break;
      default:
        if (byte < 0x20 || byte == 0x7F) {
          out += fmt::format("\\x{:02x}", byte);
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

}  // namespace om::model
