#include "io/real/random.h"

#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace om::io {

void RealRandom::fill(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::getrandom(bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    CHECK(count > 0, "getrandom");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

}  // namespace om::io
