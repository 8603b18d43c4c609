// Precompiled for the tests of the rooms below engine.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cmake/pch/lower.h"
