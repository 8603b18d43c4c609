#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <span>

#include "prompt/go_ast.h"

namespace om::prompt::go {

namespace {

using Arguments = std::vector<Value>;
constexpr size_t kWidthMax = 1024;

std::unexpected<Error> wrong_count(std::string_view name, std::string_view want, size_t got) {
  return fail(Errc::invalid_argument, "wrong number of args for {}: want {} got {}", name, want,
              got);
}

bool is_number(const Value& value) { return value.as_int() || value.as_number(); }
double number_of(const Value& value) {
  return value.as_int() ? static_cast<double>(*value.as_int()) : *value.as_number();
}

// Negative, zero or positive, for two values of one basic kind.
Result<int> compare(const Value& a, const Value& b, size_t& bytes_read) {
  if (a.as_int() && b.as_int()) {
    return *a.as_int() < *b.as_int() ? -1 : *a.as_int() > *b.as_int();
  }
  if (is_number(a) && is_number(b)) {
    return number_of(a) < number_of(b) ? -1 : number_of(a) > number_of(b);
  }
  if (a.as_string() && b.as_string()) {
    bytes_read += std::min(a.as_string()->size(), b.as_string()->size());
    return a.as_string()->compare(*b.as_string());
  }
  return fail(Errc::invalid_argument, "incompatible types for comparison");
}

Result<bool> equal(const Value& a, const Value& b, size_t& bytes_read) {
  if (a.is_null() || b.is_null()) return a.is_null() && b.is_null();
  if (a.as_bool() && b.as_bool()) return *a.as_bool() == *b.as_bool();
  TRY(int order, compare(a, b, bytes_read));
  return order == 0;
}

// What a list of one or more is compared as.
const Value& basic(const Value& value) {
  const auto* list = value.as_list();
  const Value* single = list ? list->single() : nullptr;
  return single ? *single : value;
}

Result<Value> equality(std::string_view name, Call& call) {
  const Arguments& arguments = call.arguments;
  if (arguments.size() < 2) return wrong_count(name, "at least 2", arguments.size());
  if (name == "ne") {
    if (arguments.size() != 2) return wrong_count(name, "2", arguments.size());
    TRY(bool same, equal(basic(arguments[0]), basic(arguments[1]), call.bytes_read));
    return Value(!same);
  }
  for (size_t i = 1; i < arguments.size(); ++i) {
    TRY(bool same, equal(basic(arguments[0]), basic(arguments[i]), call.bytes_read));
    if (same) return Value(true);
  }
  return Value(false);
}

Result<Value> order(std::string_view name, Call& call) {
  const Arguments& arguments = call.arguments;
  if (arguments.size() != 2) return wrong_count(name, "2", arguments.size());
  TRY(int order, compare(arguments[0], arguments[1], call.bytes_read));
  if (name == "lt") return Value(order < 0);
  if (name == "le") return Value(order <= 0);
  if (name == "gt") return Value(order > 0);
  return Value(order >= 0);
}

Result<Value> length(const Arguments& arguments) {
  if (arguments.size() != 1) return wrong_count("len", "1", arguments.size());
  const Value& value = arguments[0];
  size_t size = 0;
  if (const auto* text = value.as_string()) {
    size = text->size();
  } else if (const auto* list = value.as_list()) {
    size = list->items.size();
  } else if (const auto* map = value.as_map()) {
    size = map->fields.size();
  } else if (!value.is_null()) {
    return fail(Errc::invalid_argument, "error calling len: len of type {}", value.type_name());
  }
  return Value(static_cast<int64_t>(size));
}

Result<size_t> position(const Value& value, size_t size, bool end_allowed) {
  const int64_t* index = value.as_int();
  if (!index) {
    return fail(Errc::invalid_argument, "cannot index slice/array with type {}", value.type_name());
  }
  if (*index < 0 || static_cast<uint64_t>(*index) > size ||
      (static_cast<uint64_t>(*index) == size && !end_allowed)) {
    return fail(Errc::invalid_argument, "index out of range: {}", *index);
  }
  return static_cast<size_t>(*index);
}

Result<Value> index(Call& call) {
  const Arguments& arguments = call.arguments;
  if (arguments.empty()) return wrong_count("index", "at least 1", 0);
  Value value = arguments[0];
  for (size_t i = 1; i < arguments.size(); ++i) {
    const Value& key = arguments[i];
    if (const auto* list = value.as_list()) {
      TRY(size_t at, position(key, list->items.size(), false));
      value = Value(list->items[at]);
    } else if (const auto* text = value.as_string()) {
      TRY(size_t at, position(key, text->size(), false));
      value = Value(static_cast<int64_t>(static_cast<unsigned char>((*text)[at])));
    } else if (const auto* map = value.as_map()) {
      if (!key.as_string()) {
        return fail(Errc::invalid_argument,
                    "error calling index: value has type {}; should be "
                    "string",
                    key.type_name());
      }
      call.bytes_read += bytes_searched(map->fields.size(), *key.as_string());
      const Value* found = map->find(*key.as_string());
      value = found ? Value(*found) : Value();
    } else if (value.is_null()) {
      return fail(Errc::invalid_argument, "error calling index: index of untyped nil");
    } else {
      return fail(Errc::invalid_argument, "error calling index: can't index item of type {}",
                  value.type_name());
    }
  }
  return value;
}

Result<Value> slice(const Arguments& arguments) {
  if (arguments.empty() || arguments.size() > 3) {
    return wrong_count("slice", "1 to 3", arguments.size());
  }
  const Value& value = arguments[0];
  const auto* text = value.as_string();
  const auto* list = value.as_list();
  if (!text && !list) {
    return fail(Errc::invalid_argument, "error calling slice: can't slice item of type {}",
                value.type_name());
  }
  size_t size = text ? text->size() : list->items.size();
  size_t from = 0, to = size;
  if (arguments.size() > 1) {
    TRY(from, position(arguments[1], size, true));
  }
  if (arguments.size() > 2) {
    TRY(to, position(arguments[2], size, true));
  }
  if (from > to) {
    return fail(Errc::invalid_argument, "error calling slice: invalid slice index: {} > {}", from,
                to);
  }
  if (text) return Value(text->substr(from, to - from));
  return Value::part(*list, from, to);
}

// fmt.Sprint puts a space between two operands when neither is a string, Sprintln always.
std::string print(const Call& call, bool line) {
  const Arguments& arguments = call.arguments;
  std::string out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    bool texts = i > 0 && (arguments[i].as_string() || arguments[i - 1].as_string());
    if (i > 0 && (line || !texts)) out += ' ';
    out += arguments[i].is_null() ? "<nil>" : arguments[i].print();
    if (out.size() > call.text_bytes_max) break;
  }
  if (line) out += '\n';
  return out;
}

struct Verb {
  bool left = false, zero = false, plus = false, sharp = false;
  size_t width = 0;
  std::optional<size_t> precision;
  char letter = 'v';
};

std::optional<std::string> integer_verb(const Verb& verb, int64_t number) {
  switch (verb.letter) {
    case 'd':
      return (verb.plus && number >= 0 ? "+" : "") + fmt::format("{}", number);
    case 'x':
      return fmt::format("{:x}", number);
    case 'X':
      return fmt::format("{:X}", number);
    case 'o':
      return fmt::format("{:o}", number);
    case 'b':
      return fmt::format("{:b}", number);
    case 'c':
      return number >= 0 && number < 0x80 ? std::string(1, static_cast<char>(number)) : "\uFFFD";
    default:
      return std::nullopt;
  }
}

std::optional<std::string> real_verb(const Verb& verb, double number) {
  size_t precision = verb.precision.value_or(6);
  switch (verb.letter) {
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", number, precision);
    case 'e':
      return fmt::format("{:.{}e}", number, precision);
    case 'g':
      return verb.precision ? fmt::format("{:.{}g}", number, precision) : fmt::format("{}", number);
    default:
      return std::nullopt;
  }
}

std::string apply(const Verb& verb, const Value& value) {
  if (verb.letter == 'v') return value.is_null() ? "<nil>" : value.print();
  if (const auto* text = value.as_string()) {
    if (verb.letter == 's') return text->substr(0, verb.precision.value_or(text->size()));
    if (verb.letter == 'q') return json_quoted(*text);
    if (verb.letter == 'x') {
      std::string out;
      constexpr std::string_view kDigits = "0123456789abcdef";
      for (unsigned char c : *text) out.append({kDigits[c >> 4], kDigits[c & 15]});
      return out;
    }
  }
  if (verb.letter == 't' && value.as_bool()) return value.print();
  if (const auto* number = value.as_int()) {
    if (auto out = integer_verb(verb, *number)) return *out;
  }
  if (const auto* number = value.as_number()) {
    if (auto out = real_verb(verb, *number)) return *out;
  }
  if (verb.letter == 's' && (value.as_list() || value.as_map())) return value.print();
  if (verb.letter == 'T') return std::string(value.type_name());
  return fmt::format("%!{}({}={})", verb.letter, value.type_name(), value.print());
}

void pad(std::string& out, std::string text, const Verb& verb) {
  size_t fill = verb.width > text.size() ? verb.width - text.size() : 0;
  if (verb.left) {
    out += text;
    out.append(fill, ' ');
  } else if (verb.zero && !text.empty() && (text[0] == '-' || text[0] == '+')) {
    out += text[0];
    out.append(fill, '0');
    out += text.substr(1);
  } else {
    out.append(fill, verb.zero ? '0' : ' ');
    out += text;
  }
}

Verb parse_verb(std::string_view format, size_t& at) {
  Verb verb;
  for (; at < format.size(); ++at) {
    if (format[at] == '-') {
      verb.left = true;
    } else if (format[at] == '0') {
      verb.zero = true;
    } else if (format[at] == '+') {
      verb.plus = true;
    } else if (format[at] == '#') {
      verb.sharp = true;
    } else if (format[at] != ' ') {
      break;
    }
  }
  auto digits = [&] {
    size_t number = 0;
    for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
      number = std::min<size_t>(number * 10 + static_cast<size_t>(format[at] - '0'), kWidthMax);
    }
    return number;
  };
  verb.width = digits();
  if (at < format.size() && format[at] == '.') {
    ++at;
    verb.precision = digits();
  }
  return verb;
}

Result<Value> printf(Call& call) {
  const Arguments& arguments = call.arguments;
  if (arguments.empty() || !arguments[0].as_string()) {
    return fail(Errc::invalid_argument, "wrong type for value of printf; expected string");
  }
  std::string_view format = *arguments[0].as_string();
  call.bytes_read += format.size();  // Of a long verb nothing is written.
  std::string out;
  size_t used = 1;
  for (size_t at = 0; at < format.size();) {
    char c = format[at++];
    if (c != '%') {
      out += c;
      continue;
    }
    Verb verb = parse_verb(format, at);
    if (at >= format.size()) {
      out += "%!(NOVERB)";
      break;
    }
    verb.letter = format[at++];
    if (verb.letter == '%') {
      out += '%';
    } else if (used >= arguments.size()) {
      out += fmt::format("%!{}(MISSING)", verb.letter);
    } else {
      pad(out, apply(verb, arguments[used++]), verb);
    }
    if (out.size() > call.text_bytes_max) return Value(std::move(out));
  }
  if (used < arguments.size()) {
    out += "%!(EXTRA ";
    for (size_t i = used; i < arguments.size(); ++i) {
      if (i > used) out += ", ";
      out += fmt::format("{}={}", arguments[i].type_name(), arguments[i].print());
      if (out.size() > call.text_bytes_max) break;
    }
    out += ')';
  }
  return Value(std::move(out));
}

// By the machine's own time zone, as Go's time.Now() and jinja's strftime_now are.
std::string local_date(int64_t seconds, int days_ago) {
  std::tm day = fmt::localtime(static_cast<std::time_t>(seconds));
  day.tm_mday -= days_ago;
  day.tm_hour = 12;  // A day has a noon, but not always 24 hours.
  day.tm_isdst = -1;
  std::mktime(&day);
  return fmt::format("{:%Y-%m-%d}", day);
}

std::string_view typescript_type_of(std::string_view json_type) {
  if (json_type == "string" || json_type == "boolean" || json_type == "null") return json_type;
  if (json_type == "number" || json_type == "integer") return "number";
  if (json_type == "array") return "any[]";
  if (json_type == "object") return "Record<string, any>";
  return "any";
}

// Of a tool's property, as go_tools.h makes it. What it nests is bounded.
std::string typescript_type(const Value& property) {  // NOLINT(misc-no-recursion)
  const auto* map = property.as_map();
  const auto items_of = [map](std::string_view field) {
    const Value* value = map ? map->find(field) : nullptr;
    const auto* list = value ? value->as_list() : nullptr;
    return list ? list->items : std::span<const Value>();
  };
  std::vector<std::string> types;
  for (const Value& choice : items_of("AnyOf")) types.push_back(typescript_type(choice));
  if (types.empty()) {
    for (const Value& type : items_of("Type")) {
      const auto* name = type.as_string();
      types.emplace_back(name ? typescript_type_of(*name) : "any");
    }
  }
  return types.empty() ? "any" : fmt::format("{}", fmt::join(types, " | "));
}

constexpr std::array kFunctions = {"and",
                                   "or",
                                   "not",
                                   "eq",
                                   "ne",
                                   "lt",
                                   "le",
                                   "gt",
                                   "ge",
                                   "len",
                                   "index",
                                   "slice",
                                   "print",
                                   "printf",
                                   "println",
                                   "json",
                                   "currentDate",
                                   "yesterdayDate",
                                   "toTypeScriptType"};

}  // namespace

bool is_function(std::string_view name) {
  return std::find(kFunctions.begin(), kFunctions.end(), name) != kFunctions.end();
}

Result<Value> call_function(std::string_view name, Call& call) {
  const Arguments& arguments = call.arguments;
  if (name == "eq" || name == "ne") return equality(name, call);
  if (name == "lt" || name == "le" || name == "gt" || name == "ge") return order(name, call);
  if (name == "len") return length(arguments);
  if (name == "index") return index(call);
  if (name == "slice") return slice(arguments);
  if (name == "print") return Value(print(call, false));
  if (name == "println") return Value(print(call, true));
  if (name == "printf") return printf(call);
  if (name == "currentDate") return Value(local_date(call.now_seconds, 0));
  if (name == "yesterdayDate") return Value(local_date(call.now_seconds, 1));
  if (arguments.size() != 1) return wrong_count(name, "1", arguments.size());
  if (name == "not") return Value(!arguments[0].truthy());
  if (name == "json") return Value(arguments[0].json());
  if (name == "toTypeScriptType") return Value(typescript_type(arguments[0]));
  return fail(Errc::internal, "function \"{}\" has no body", name);
}

}  // namespace om::prompt::go
