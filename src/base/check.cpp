#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace om {

void check_failed(std::string_view condition, const char* file, int line, std::string_view what) {
  std::fprintf(stderr, "CHECK failed: %.*s at %s:%d %.*s\n", static_cast<int>(condition.size()),
               condition.data(), file, line, static_cast<int>(what.size()), what.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace om
