// The source that this program was built from: tells builds of one version apart.
#pragma once

namespace om::app {

// A commit ("3b3fbd9c1d"), with "-dirty" behind it if files were changed since, or "unknown".
// Written by cmake/Revision.cmake.
extern const char* const kRevision;

}  // namespace om::app
