#include "model/name.h"

#include <algorithm>

#include "base/strings.h"

namespace om::model {
namespace {

constexpr size_t kHostLengthMax = 350;
constexpr size_t kPartLengthMax = 80;

enum class Part { host, name_space, model, tag };

// ASCII only: a name must not change its meaning with the locale.
bool is_first(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool valid_part(Part part, std::string_view text) {
  size_t length_max = part == Part::host ? kHostLengthMax : kPartLengthMax;
  if (text.empty() || text.size() > length_max || !is_first(text.front())) return false;
  return std::ranges::all_of(text.substr(1), [part](char c) {
    if (c == '.') return part != Part::name_space;
    if (c == ':') return part == Part::host;
    return is_first(c) || c == '-';
  });
}

bool valid(const Name& name) {
  return valid_part(Part::host, name.host) && valid_part(Part::name_space, name.name_space) &&
         valid_part(Part::model, name.model) && valid_part(Part::tag, name.tag) &&
         (name.scheme == "http" || name.scheme == "https");
}

// Takes what follows the last `separator` off the end of `text`; all of it if there is none.
std::string take_last(std::string_view& text, char separator) {
  size_t at = text.rfind(separator);
  std::string last(at == text.npos ? text : text.substr(at + 1));
  text = at == text.npos ? std::string_view() : text.substr(0, at);
  return last;
}

}  // namespace

Result<Name> Name::parse(std::string_view text) {
  Name name;
  const auto invalid = [] { return fail(Errc::invalid_argument, "invalid model name"); };

  // A port has a colon too, but is never behind the last slash.
  size_t colon = text.rfind(':');
  size_t slash = text.rfind('/');
  if (colon != text.npos && (slash == text.npos || colon > slash)) {
    name.tag = take_last(text, ':');
  }
  bool has_name_space = text.find('/') != text.npos;
  name.model = take_last(text, '/');
  if (has_name_space) {
    bool has_host = text.find('/') != text.npos;
    name.name_space = take_last(text, '/');
    if (has_host) {
      if (size_t at = text.find("://"); at != text.npos) {
        name.scheme = to_lower(text.substr(0, at));
        text.remove_prefix(at + 3);
      }
      name.host = text;
    }
  }
  if (!valid(name)) return invalid();
  return name;
}

std::string Name::str() const { return host + '/' + name_space + '/' + model + ':' + tag; }

std::string Name::shortest() const {
  static const Name defaults;
  std::string text;
  if (!iequals(host, defaults.host)) {
    text = host + '/' + name_space + '/';
  } else if (!iequals(name_space, defaults.name_space)) {
    text = name_space + '/';
  }
  return text + model + ':' + tag;
}

std::string Name::path() const { return host + '/' + name_space + '/' + model + '/' + tag; }

bool Name::equal_ignoring_case(const Name& other) const {
  return iequals(host, other.host) && iequals(name_space, other.name_space) &&
         iequals(model, other.model) && iequals(tag, other.tag);
}

bool Name::operator==(const Name& other) const {
  return host == other.host && name_space == other.name_space && model == other.model &&
         tag == other.tag;
}

Result<PlacedName> split_place(std::string_view text) {
  bool local = false;
  bool cloud = false;
  std::string_view rest = text;
  const auto take = [&rest](std::string_view suffix) {
    if (rest.size() < suffix.size()) return false;
    if (!iequals(rest.substr(rest.size() - suffix.size()), suffix)) return false;
    rest.remove_suffix(suffix.size());
    return true;
  };
  // At most one of each, in either order.
  for (int i = 0; i < 2; i++) {
    if (!local && take(":local")) local = true;
    if (!cloud && take(":cloud")) cloud = true;
  }
  size_t colon = rest.rfind(':');
  if (colon != rest.npos && rest.find('/', colon) == rest.npos && rest.size() > 6 &&
      iequals(rest.substr(rest.size() - 6), "-cloud")) {
    cloud = true;
  }
  if (local && cloud) {
    return fail(Errc::invalid_argument, "use either :local or :cloud, not both: \"{}\"", text);
  }
  return PlacedName{std::string(rest), local ? Place::local : cloud ? Place::cloud : Place::any};
}

}  // namespace om::model
