// Errors are values. A function that can meet expected trouble (a peer, a disk, bad input) returns
// Result<T>; code decides by Errc, people read `what`. Dropping a Result does not compile.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace om {

// The closed list of kinds of trouble. api/error.cpp maps each to an HTTP status, once.
enum class Errc {
  cancelled,          // The one who asked no longer wants it.
  deadline_exceeded,  // Its time ran out.
  unavailable,        // A peer or child is gone or not ready; another one may answer.
  overloaded,         // A bound was reached; asking again later may work.
  not_found,
  already_exists,
  invalid_argument,  // The caller's input is wrong; asking again will not help.
  unauthenticated,
  forbidden,
  corrupt,    // Bytes are not what their digest or format says.
  io_failed,  // The disk or network of this machine failed.
  not_leader,
  unsupported,  // Understood, but not something this model or build can do.
  internal,     // A part of ours failed in a way its caller cannot mend.
};

std::string_view to_string(Errc code);

// True if the same request may succeed elsewhere or later without change.
bool retryable(Errc code);

struct Error {
  Errc code = Errc::internal;
  std::string what;
};

// A value of T or an Error. [[nodiscard]] also for a co_awaited one.
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// return fail(Errc::not_found, "model '{}' not found", name);
template <class... Args>
std::unexpected<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

// Adds what was being done, going up: "pull llama3: connection refused".
Error annotate(Error error, std::string_view context);

}  // namespace om

#define OM_CONCAT_(a, b) a##b
#define OM_CONCAT(a, b) OM_CONCAT_(a, b)
#define OM_TRY_(result, decl, returns, ...)                          \
  auto result = (__VA_ARGS__);                                       \
  if (!result) [[unlikely]]                                          \
    returns std::unexpected<::om::Error>(std::move(result).error()); \
  decl = std::move(*result)
#define OM_TRY_VOID_(result, returns, ...)  \
  if (auto result = (__VA_ARGS__); !result) \
  returns std::unexpected<::om::Error>(std::move(result).error())

// TRY(auto file, open(path)); leaves the function with the error, or declares `file`.
// CO_TRY is the same in a coroutine; the _VOID forms are for Result<void>.
#define TRY(decl, ...) OM_TRY_(OM_CONCAT(result_, __LINE__), decl, return, __VA_ARGS__)
#define CO_TRY(decl, ...) OM_TRY_(OM_CONCAT(result_, __LINE__), decl, co_return, __VA_ARGS__)
#define TRY_VOID(...) OM_TRY_VOID_(OM_CONCAT(result_, __LINE__), return, __VA_ARGS__)
#define CO_TRY_VOID(...) OM_TRY_VOID_(OM_CONCAT(result_, __LINE__), co_return, __VA_ARGS__)
