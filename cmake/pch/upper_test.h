// Precompiled for the tests of the rooms from engine upwards.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "cmake/pch/upper.h"
