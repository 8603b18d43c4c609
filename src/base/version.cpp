#include "base/version.h"

#include <optional>

#include "base/strings.h"

namespace om {

const char* const kVersion = OLLAMAMAX_VERSION;

namespace {

// Takes the first number off.
std::optional<unsigned> take_number(std::string_view& version) {
  const size_t dot = version.find('.');
  const auto number = parse_number<unsigned>(version.substr(0, dot));
  version.remove_prefix(dot == version.npos ? version.size() : dot + 1);
  return number;
}

}  // namespace

bool is_older_version(std::string_view version, std::string_view than) {
  while (true) {
    const auto one = take_number(version), other = take_number(than);
    if (!one || !other || *one != *other) return other && (!one || *one < *other);
  }
}

}  // namespace om
