#include "base/version.h"

namespace om {

const char* const kVersion = OLLAMAMAX_VERSION;

}  // namespace om
