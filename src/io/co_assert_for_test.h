// GoogleTest's ASSERT_* return, which a coroutine cannot.
#pragma once

#include <gtest/gtest.h>

// Ends the coroutine, a Task<void>, where it does not hold; more arguments say what was so.
#define CO_ASSERT(condition, ...)                             \
  do {                                                        \
    if (!(condition)) {                                       \
      ADD_FAILURE() << #condition __VA_OPT__(<<) __VA_ARGS__; \
      co_return;                                              \
    }                                                         \
  } while (false)
