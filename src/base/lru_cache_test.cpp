#include "base/lru_cache.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace om {
namespace {

using Cache = LruCache<std::string, int>;

std::vector<std::string> order(const Cache& cache) {
  std::vector<std::string> keys;
  cache.for_each([&](const std::string& key, int) { keys.push_back(key); });
  return keys;
}

TEST(LruCache, ForgetsWhatWasNotAskedForLongest) {
  Cache cache("test_cache", {.entries_max = 2, .bytes_max = 100});
  cache.put("a", 1, 1);
  cache.put("b", 2, 1);
  ASSERT_NE(cache.get("a"), nullptr);
  cache.put("c", 3, 1);
  EXPECT_EQ(cache.get("b"), nullptr);
  EXPECT_EQ(order(cache), (std::vector<std::string>{"c", "a"}));
  EXPECT_EQ(cache.stats().hits, 1u);
  EXPECT_EQ(cache.stats().misses, 1u);
}

TEST(LruCache, MakesRoomByBytesAndTellsWhomItPushedOut) {
  std::vector<std::string> evicted;
  Cache cache("test_cache", {.entries_max = 10, .bytes_max = 10},
              [&](const std::string& key, int) { evicted.push_back(key); });
  cache.put("a", 1, 4);
  cache.put("b", 2, 4);
  EXPECT_TRUE(cache.put("c", 3, 9));
  EXPECT_EQ(evicted, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(cache.put("c", 4, 11));
  EXPECT_EQ(cache.peek("c"), nullptr);
  EXPECT_EQ(evicted.size(), 2u);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(LruCache, TrimGivesBackTheOldestFirst) {
  Cache cache("test_cache", {.entries_max = 10, .bytes_max = 100});
  for (const char* key : {"a", "b", "c", "d"}) cache.put(key, 0, 10);
  EXPECT_EQ(cache.trim(0.5), 20u);
  EXPECT_EQ(order(cache), (std::vector<std::string>{"d", "c"}));
  EXPECT_EQ(cache.trim(1), 20u);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(LruCache, HoldsValuesThatCanOnlyMove) {
  LruCache<int, std::unique_ptr<int>> cache("test_cache", {.entries_max = 2, .bytes_max = 10});
  cache.put(1, std::make_unique<int>(7), 1);
  EXPECT_EQ(**cache.get(1), 7);
}

// The same cache, written as plainly as possible: a list from newest to oldest.
struct Model {
  std::list<std::tuple<int, int, size_t>> entries;

  size_t bytes() const {
    size_t sum = 0;
    for (const auto& entry : entries) sum += std::get<2>(entry);
    return sum;
  }
  bool erase(int key) {
    return std::erase_if(entries, [&](const auto& entry) { return std::get<0>(entry) == key; }) > 0;
  }
  bool put(int key, int value, size_t size, LruLimits limits) {
    erase(key);
    if (size > limits.bytes_max) return false;
    while (entries.size() >= limits.entries_max || bytes() + size > limits.bytes_max) {
      entries.pop_back();
    }
    entries.emplace_front(key, value, size);
    return true;
  }
  const int* get(int key) {
    auto found =
        std::ranges::find_if(entries, [&](const auto& entry) { return std::get<0>(entry) == key; });
    if (found == entries.end()) return nullptr;
    entries.splice(entries.begin(), entries, found);
    return &std::get<1>(entries.front());
  }
};

RC_GTEST_PROP(LruCache, BehavesAsItsModel, ()) {
  const LruLimits limits{.entries_max = *rc::gen::inRange<size_t>(1, 8),
                         .bytes_max = *rc::gen::inRange<size_t>(1, 50)};
  LruCache<int, int> cache("test_cache", limits);
  Model model;
  const auto steps = *rc::gen::container<std::vector<std::tuple<int, int, size_t>>>(
      200, rc::gen::tuple(rc::gen::inRange(0, 8), rc::gen::inRange(0, 10),
                          rc::gen::inRange<size_t>(0, 30)));
  for (const auto& [action, key, size] : steps) {
    if (action < 4) {
      RC_ASSERT(cache.put(key, action, size) == model.put(key, action, size, limits));
    } else if (action < 7) {
      const auto* found = cache.get(key);
      const auto* expected = model.get(key);
      RC_ASSERT((found == nullptr) == (expected == nullptr));
      if (found != nullptr) RC_ASSERT(*found == *expected);
    } else {
      RC_ASSERT(cache.erase(key) == model.erase(key));
    }
    RC_ASSERT(cache.bytes() == model.bytes());
    std::vector<int> keys, expected_keys;
    cache.for_each([&](int each, int) { keys.push_back(each); });
    for (const auto& entry : model.entries) expected_keys.push_back(std::get<0>(entry));
    RC_ASSERT(keys == expected_keys);
  }
}

}  // namespace
}  // namespace om
