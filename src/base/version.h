// What this program calls itself: to clients, to other nodes, in the log. From CMakeLists.txt.
#pragma once

#include <string_view>

namespace om {

extern const char* const kVersion;

// Whether `version` ("0.2.0") comes before `than`. One that cannot be read does: it is of a program
// that told none.
bool is_older_version(std::string_view version, std::string_view than);

}  // namespace om
