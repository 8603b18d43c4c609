#include "base/version.h"

#include "base/strings.h"

namespace om {

const char* const kVersion = OLLAMAMAX_VERSION;

bool is_older_version(std::string_view version, std::string_view than) {
  while (true) {
    const auto one = parse_number<unsigned>(version.substr(0, version.find('.')));
    const auto other = parse_number<unsigned>(than.substr(0, than.find('.')));
    if (!one || !other || *one != *other) return other && (!one || *one < *other);
    const size_t dot = version.find('.'), than_dot = than.find('.');
    version.remove_prefix(dot == version.npos ? version.size() : dot + 1);
    than.remove_prefix(than_dot == than.npos ? than.size() : than_dot + 1);
  }
}

}  // namespace om
