#include "app/revision.h"

#include "commit.h"  // In the build folder, written by cmake/Revision.cmake.

namespace om::app {

const char* const kRevision = OLLAMAMAX_REVISION;

}  // namespace om::app
