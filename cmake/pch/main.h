// Precompiled for the program's command line. CLI11 makes code in each file that includes it, used
// or not, 0.5 s of compiling: so it is here and not in app.h.
#pragma once

#include <CLI/CLI.hpp>

#include "cmake/pch/upper.h"
