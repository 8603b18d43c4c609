// What this program calls itself: to clients, to other nodes, in the log. From CMakeLists.txt.
#pragma once

namespace om {

extern const char* const kVersion;

}  // namespace om
