// Names that come from outside and travel far: into logs, metrics, file names and headers. An Id
// is short and made of letters, digits, '.', '_' and '-' only, so it is safe in all of them.
//
//   using NodeId = Id<struct NodeIdTag>;
//
// Ids of different tags do not mix.
#pragma once

#include <algorithm>
#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace om {

inline constexpr size_t kIdBytesMax = 64;

template <class Tag>
class Id {
 public:
  Id() = default;  // The empty id: nobody.

  // invalid_argument: empty, longer than kIdBytesMax, another character, or starts with '.' or '-'
  // (which would hide a file or look like an option).
  static Result<Id> parse(std::string_view text) {
    const bool plain = std::ranges::all_of(text, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    });
    if (text.empty() || text.size() > kIdBytesMax || !plain || text[0] == '.' || text[0] == '-') {
      return fail(Errc::invalid_argument,
                  "an id has 1 to {} letters, digits, '.', '_' or '-', and starts with a letter, "
                  "digit or '_'",
                  kIdBytesMax);
    }
    Id id;
    id.text_ = text;
    return id;
  }

  const std::string& str() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  std::string text_;
};

}  // namespace om

template <class Tag>
struct std::hash<om::Id<Tag>> {
  size_t operator()(const om::Id<Tag>& id) const noexcept {
    return std::hash<std::string>()(id.str());
  }
};
