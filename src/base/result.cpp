#include "base/result.h"

namespace om {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::cancelled:
      return "cancelled";
    case Errc::deadline_exceeded:
      return "deadline exceeded";
    case Errc::unavailable:
      return "unavailable";
    case Errc::overloaded:
      return "overloaded";
    case Errc::not_found:
      return "not found";
    case Errc::already_exists:
      return "already exists";
    case Errc::invalid_argument:
      return "invalid argument";
    case Errc::unauthenticated:
      return "unauthenticated";
    case Errc::forbidden:
      return "forbidden";
    case Errc::corrupt:
      return "corrupt";
    case Errc::io_failed:
      return "input/output failed";
    case Errc::not_leader:
      return "not leader";
    case Errc::unsupported:
      return "unsupported";
    case Errc::internal:
      return "internal";
  }
  return "unknown";
}

bool retryable(Errc code) {
  return code == Errc::unavailable || code == Errc::overloaded || code == Errc::not_leader;
}

Error annotate(Error error, std::string_view context) {
  error.what = fmt::format("{}: {}", context, error.what);
  return error;
}

}  // namespace om
