// CHECK(condition): an invariant of ours. It stays on in release builds; when it is broken the
// process prints where and aborts, because a restart is cheap and wrong state is not.
// Expected trouble (peers, disks, input) is a Result instead, see result.h.
#pragma once

#include <string_view>

namespace om {

[[noreturn]] void check_failed(std::string_view condition, const char* file, int line,
                               std::string_view what = {});

}  // namespace om

#define CHECK(condition, ...)                                                        \
  do {                                                                               \
    if (!(condition)) [[unlikely]]                                                   \
      ::om::check_failed(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
