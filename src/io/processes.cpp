#include "io/processes.h"

#include <cstring>

namespace om::io {

std::string ExitStatus::str() const {
  if (signal == 0) return fmt::format("exit status {}", code);
  return fmt::format("signal {} ({})", signal, strsignal(signal));
}

}  // namespace om::io
