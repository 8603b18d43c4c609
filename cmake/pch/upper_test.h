// Precompiled for the tests of the rooms from engine upwards.
#pragma once

#include "cmake/pch/lower_test.h"
#include "cmake/pch/upper.h"
