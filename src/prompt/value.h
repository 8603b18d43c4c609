// The data a Go template sees.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace om::prompt {

// Null, bool, whole number, number, string, list or map with the order kept. Strings, lists and
// maps are shared and never change after they were made, so copies are cheap, whatever their size;
// use them from any thread.
class Value {
 public:
  struct List;
  struct Map;
  using Fields = std::vector<std::pair<std::string, Value>>;

  Value() = default;
  Value(bool value) : data_(value) {}
  Value(int value) : data_(int64_t{value}) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::make_shared<const std::string>(std::move(value))) {}
  Value(const char* value) : Value(std::string(value)) {}

  // `text` is what printing and `json` give instead of the items, as Go types with a String method
  // do; empty: none.
  static Value list(std::vector<Value> items, std::string text = {});
  static Value map(Fields fields, std::string text = {});
  // The items [from, to) of a list, shared with it. REQUIRES: there are so many.
  static Value part(const List& list, size_t from, size_t to);
  // A list that is printed and written as its item where it has just one, as the types of a tool's
  // property are.
  static Value one_or_more(std::vector<Value> items);
  // A JSON value with its keys as they are. Beyond `depth_max` levels it is cut to null.
  static Value from_json(const boost::json::value& json, int depth_max = 64);

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&data_); }
  const double* as_number() const { return std::get_if<double>(&data_); }
  const std::string* as_string() const;
  const List* as_list() const;
  const Map* as_map() const;

  bool truthy() const;                 // As Go's templates see it: empty and zero are false.
  std::string print() const;           // As Go's fmt prints with %v; null prints nothing.
  std::string json() const;            // Compact; characters are not escaped for HTML.
  std::string_view type_name() const;  // For error messages, in Go's words.

 private:
  void print_to(std::string& out) const;
  void json_to(std::string& out) const;

  std::variant<std::monostate, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Map>>
      data_;
};

struct Value::List {
  List(std::vector<Value> all, std::string text, bool is_one_or_more)
      : kept(std::make_shared<const std::vector<Value>>(std::move(all))),
        items(*kept),
        text(std::move(text)),
        is_one_or_more(is_one_or_more) {}
  List(const List& whole, size_t from, size_t to)
      : kept(whole.kept), items(whole.items.subspan(from, to - from)) {}

  std::shared_ptr<const std::vector<Value>> kept;  // What `items` are of.
  std::span<const Value> items;
  std::string text;
  bool is_one_or_more = false;

  const Value* single() const { return is_one_or_more && items.size() == 1 ? &items[0] : nullptr; }
};

struct Value::Map {
  Fields fields;
  std::string text;

  const Value* find(std::string_view key) const;
};

// A JSON string literal, quotes included.
std::string json_quoted(std::string_view text);

}  // namespace om::prompt
