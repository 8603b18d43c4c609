#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <boost/json/parse.hpp>
#include <cstring>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/memory/arena.h"
#include "base/memory/bounded_channel.h"
#include "base/memory/frame_pool.h"
#include "base/memory/io_buffers.h"
#include "base/memory/object_pool.h"
#include "base/metrics.h"

namespace om {
namespace {

TEST(IoBufferPool, PicksTheSmallestClassThatFits) {
  IoBufferPool pool(8 << 20, "test_buffers");
  EXPECT_EQ(pool.get(1).size(), 16u << 10);
  EXPECT_EQ(pool.get(16 << 10).size(), 16u << 10);
  EXPECT_EQ(pool.get((16 << 10) + 1).size(), 64u << 10);
  EXPECT_EQ(pool.get(1 << 20).size(), 1u << 20);
  EXPECT_EQ(pool.get((1 << 20) + 1).size(), (1u << 20) + 1);
}

TEST(IoBufferPool, LendsTheSameBlockAgainAndCountsHits) {
  IoBufferPool pool(8 << 20, "test_buffers");
  char* first = nullptr;
  {
    auto buffer = pool.get(100);
    first = buffer.data();
    std::memset(buffer.data(), 1, buffer.size());
    EXPECT_EQ(pool.stats().used_bytes, 16u << 10);
  }
  EXPECT_EQ(pool.stats().held_bytes, 16u << 10);
  EXPECT_EQ(pool.get(100).data(), first);
  EXPECT_EQ(pool.stats().hits, 1u);
  EXPECT_EQ(pool.stats().misses, 1u);
}

TEST(IoBufferPool, KeepsNoMoreThanItsCapAndNothingOutsideItsClasses) {
  IoBufferPool pool(100 << 10, "test_buffers");
  {
    std::vector<IoBuffer> buffers;
    for (int i = 0; i < 10; i++) buffers.push_back(pool.get(16 << 10));
    buffers.push_back(pool.get(2 << 20));
  }
  EXPECT_EQ(pool.stats().held_bytes, 96u << 10);
  EXPECT_EQ(pool.stats().used_bytes, 0u);
}

TEST(IoBufferPool, TrimGivesBackTheFractionAskedFor) {
  IoBufferPool pool(8 << 20, "test_buffers");
  {
    std::vector<IoBuffer> buffers;
    for (int i = 0; i < 8; i++) buffers.push_back(pool.get(64 << 10));
  }
  EXPECT_EQ(pool.trim(0.25), 128u << 10);
  EXPECT_EQ(pool.trim(1), 384u << 10);
  EXPECT_EQ(pool.stats().held_bytes, 0u);
}

TEST(IoBufferPool, OtherThreadsMayTakeAndGiveBack) {
  IoBufferPool pool(8 << 20, "test_buffers");
  std::vector<IoBuffer> made_here;
  for (int i = 0; i < 4; i++) made_here.push_back(pool.get(1000));
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, buffer = std::move(made_here[static_cast<size_t>(t)])]() mutable {
      buffer.data()[0] = 'x';
      buffer.reset();
      for (int i = 0; i < 100; i++) pool.get(1000).data()[0] = 'y';
    });
  }
  for (int i = 0; i < 100; i++) pool.get(1000).data()[0] = 'z';
  threads.clear();
  EXPECT_EQ(pool.stats().used_bytes, 0u);
  EXPECT_EQ(pool.stats().hits + pool.stats().misses, 504u);
  EXPECT_LE(pool.stats().held_bytes, pool.stats().held_bytes_max);
}

TEST(IoBufferPool, WhatAnotherThreadReturnedIsUsedAgain) {
  IoBufferPool pool(8 << 20, "test_buffers");
  auto buffer = pool.get(1000);
  const char* data = buffer.data();
  std::jthread([moved = std::move(buffer)]() mutable { moved.reset(); }).join();
  EXPECT_EQ(pool.stats().held_bytes, 16u << 10);
  EXPECT_EQ(pool.get(1000).data(), data);
  EXPECT_EQ(pool.trim(1), 16u << 10);
}

TEST(Arena, AlignsAndServesAnySize) {
  Arena arena;
  for (const size_t alignment : {1, 2, 8, 16, 64, 4096}) {
    for (const size_t bytes : {0, 1, 7, 1000, 20'000, 3 << 20}) {
      auto* memory = arena.allocate(bytes, alignment);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % alignment, 0u);
      std::memset(memory, 0xAB, bytes);
    }
  }
}

TEST(Arena, HoldsJsonAndPmrStrings) {
  ArenaPool pool(1 << 20, "test_arenas");
  for (int round = 0; round < 3; round++) {
    auto arena = pool.get();
    boost::json::error_code error;
    const auto value =
        boost::json::parse(R"({"model":"m","messages":[{"content":"a long enough text"}]})", error,
                           arena->json_storage());
    ASSERT_FALSE(error);
    EXPECT_EQ(value.at("messages").at(0).at("content"), "a long enough text");
    std::pmr::string text("a string too long for the small string buffer", arena->resource());
    EXPECT_EQ(text.size(), 45u);
  }
  EXPECT_EQ(pool.stats().misses, 1u);
  EXPECT_EQ(pool.stats().hits, 2u);
}

TEST(ArenaPool, DoesNotKeepTheMemoryOfAHugeRequest) {
  ArenaPool pool(64 << 20, "test_arenas");
  {
    auto arena = pool.get();
    arena->allocate(10 << 20);
    arena->allocate(100);
    EXPECT_GT(arena->bytes(), 10u << 20);
  }
  EXPECT_LE(pool.stats().held_bytes, ArenaPool::kKeptBytesMax);
}

RC_GTEST_PROP(Arena, AllocationsNeverOverlapAcrossReuse, ()) {
  Arena arena;
  for (int round = 0; round < 3; round++) {
    const auto sizes =
        *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(1, 40'000));
    std::vector<std::pair<char*, size_t>> blocks;
    for (size_t i = 0; i < sizes.size(); i++) {
      auto* memory = static_cast<char*>(arena.allocate(sizes[i], 8));
      std::memset(memory, static_cast<char>(i), sizes[i]);
      blocks.emplace_back(memory, sizes[i]);
    }
    for (size_t i = 0; i < blocks.size(); i++) {
      RC_ASSERT(blocks[i].first[0] == static_cast<char>(i));
      RC_ASSERT(blocks[i].first[blocks[i].second - 1] == static_cast<char>(i));
    }
    arena.reset(100'000);
    RC_ASSERT(arena.bytes() <= 100'000u);
  }
}

TEST(FramePool, RecyclesBySizeClass) {
  FramePool pool(1 << 20, "test_frames");
  void* first = pool.allocate(200);
  pool.deallocate(first, 200);
  EXPECT_EQ(pool.allocate(193), first);
  void* other = pool.allocate(300);
  EXPECT_NE(other, first);
  pool.deallocate(first, 193);
  pool.deallocate(other, 300);
  EXPECT_EQ(pool.stats().hits, 1u);
  EXPECT_EQ(pool.stats().misses, 2u);
  EXPECT_EQ(pool.stats().used_bytes, 0u);
  EXPECT_EQ(pool.stats().held_bytes, 256u + 320u);
  EXPECT_EQ(pool.trim(1), 256u + 320u);
  EXPECT_EQ(pool.stats().hits, 1u);
}

TEST(FramePool, PassesThroughWhatIsTooLargeAndStopsAtItsCap) {
  FramePool pool(128, "test_frames");
  void* large = pool.allocate(FramePool::kBlockBytesMax + 1);
  pool.deallocate(large, FramePool::kBlockBytesMax + 1);
  EXPECT_EQ(pool.stats().held_bytes, 0u);
  std::vector<void*> blocks;
  for (int i = 0; i < 5; i++) blocks.push_back(pool.allocate(0));
  for (void* block : blocks) pool.deallocate(block, 0);
  EXPECT_EQ(pool.stats().held_bytes, 128u);
}

TEST(FramePool, FramesMayBeFreedOnAnotherThread) {
  struct Node : PooledFrame {
    std::array<char, 100> bytes{};
  };
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < 100; i++) nodes.push_back(std::make_unique<Node>());
  std::jthread([&] { nodes.clear(); }).join();
  std::deque<int, FrameAllocator<int>> numbers;
  for (int i = 0; i < 1000; i++) numbers.push_back(i);
  EXPECT_EQ(numbers.back(), 999);
}

struct Lines {
  std::vector<std::string> lines;
  std::string buffer;
  void reset() {
    lines.clear();
    buffer.clear();
  }
  size_t memory_bytes() const { return sizeof(*this) + buffer.capacity(); }
};

TEST(ObjectPool, ReturnsResetObjectsWithTheirMemory) {
  ObjectPool<Lines> pool("test_objects");
  const Lines* first = nullptr;
  {
    auto lines = pool.get();
    lines->buffer.assign(1000, 'x');
    first = lines.get();
  }
  auto again = pool.get();
  EXPECT_EQ(again.get(), first);
  EXPECT_TRUE(again->buffer.empty());
  EXPECT_GE(again->buffer.capacity(), 1000u);
  EXPECT_EQ(pool.stats().hits, 1u);
}

TEST(ObjectPool, DropsObjectsThatHaveGrownTooLarge) {
  ObjectPool<Lines> pool("test_objects");
  pool.get()->buffer.reserve(ObjectPool<Lines>::kObjectBytesMax + 1);
  EXPECT_EQ(pool.stats().held_bytes, 0u);
  pool.get()->buffer.reserve(100);
  EXPECT_GT(pool.stats().held_bytes, 100u);
  EXPECT_GT(pool.trim(1), 100u);
  EXPECT_EQ(pool.stats().held_bytes, 0u);
}

TEST(BoundedChannel, RefusesBeyondItsBytesAndLeavesTheItem) {
  ChannelMemory<std::string> memory("test_channels");
  BoundedChannel<std::string> channel(memory, 10);
  EXPECT_TRUE(channel.push("aaaa", 4));
  EXPECT_TRUE(channel.push("bbbbbb", 6));
  EXPECT_TRUE(channel.full());
  std::string refused = "c";
  EXPECT_FALSE(channel.push(std::move(refused), 1));
  EXPECT_EQ(refused, "c");
  EXPECT_EQ(channel.pop(), "aaaa");
  EXPECT_TRUE(channel.push(std::move(refused), 1));
  channel.close();
  EXPECT_FALSE(channel.push("d", 1));
  EXPECT_FALSE(channel.finished());
  EXPECT_EQ(channel.pop(), "bbbbbb");
  EXPECT_EQ(channel.pop(), "c");
  EXPECT_EQ(channel.pop(), std::nullopt);
  EXPECT_TRUE(channel.finished());
}

TEST(BoundedChannel, AnItemLargerThanTheBoundTravelsAlone) {
  ChannelMemory<int> memory("test_channels");
  BoundedChannel<int> channel(memory, 10);
  EXPECT_TRUE(channel.push(1, 100));
  EXPECT_FALSE(channel.push(2, 1));
  EXPECT_EQ(channel.pop(), 1);
  EXPECT_TRUE(channel.push(2, 1));
}

TEST(BoundedChannel, EmptyChannelsHoldNoMemory) {
  ChannelMemory<std::string> memory("test_channels");
  BoundedChannel<std::string> channel(memory, 1 << 20);
  for (int i = 0; i < 1000; i++) EXPECT_TRUE(channel.push(std::to_string(i), 1));
  EXPECT_GT(memory.stats().used_bytes, 0u);
  channel.clear();
  EXPECT_EQ(memory.stats().used_bytes, 0u);
  EXPECT_GT(memory.trim(1), 0u);
}

RC_GTEST_PROP(BoundedChannel, BehavesAsADequeWithAByteCount, ()) {
  ChannelMemory<std::string> memory("test_channels");
  BoundedChannel<std::string> channel(memory, 2000);
  std::deque<std::pair<std::string, size_t>> model;
  size_t bytes = 0;
  const auto steps = *rc::gen::container<std::vector<int>>(400, rc::gen::inRange(0, 60));
  for (size_t i = 0; i < steps.size(); i++) {
    if (steps[i] < 20) {
      const auto item = channel.pop();
      RC_ASSERT(item.has_value() == !model.empty());
      if (!item) continue;
      RC_ASSERT(*item == model.front().first);
      bytes -= model.front().second;
      model.pop_front();
    } else {
      const auto size = static_cast<size_t>(steps[i]);
      const bool fits = model.empty() || bytes + size <= 2000;
      const auto text = std::to_string(i) + std::string(size, '.');
      RC_ASSERT(channel.push(std::string(text), size) == fits);
      if (!fits) continue;
      model.emplace_back(text, size);
      bytes += size;
    }
    RC_ASSERT(channel.bytes() == bytes);
    RC_ASSERT(channel.size() == model.size());
  }
}

TEST(PoolDirectory, ExportsEachPoolByName) {
  IoBufferPool one(1 << 20, "test_export");
  IoBufferPool two(1 << 20, "test_export");
  one.get(1).reset();
  two.get(1).reset();
  const auto text = metrics_registry().render();
  EXPECT_NE(text.find("\nollamamax_pool_misses_total{pool=\"test_export\"} 2\n"), text.npos);
  EXPECT_NE(text.find("\nollamamax_pool_held_bytes{pool=\"test_export\"} 32768\n"), text.npos);
  EXPECT_NE(text.find("\nollamamax_pool_held_bytes_max{pool=\"test_export\"} 2097152\n"),
            text.npos);
}

TEST(PoolDirectory, TrimsOnlyThePoolsOfTheCallingThreadAndThoseOfAllThreads) {
  FramePool mine(1 << 20, "test_frames");
  ArenaPool shared(1 << 20, "test_arenas");
  mine.deallocate(mine.allocate(100), 100);
  shared.get()->allocate(100);
  ASSERT_GT(mine.stats().held_bytes, 0u);
  ASSERT_GT(shared.stats().held_bytes, 0u);
  std::thread other([] { pool_directory().trim_here(1); });
  other.join();
  EXPECT_GT(mine.stats().held_bytes, 0u);
  EXPECT_EQ(shared.stats().held_bytes, 0u);
  EXPECT_GE(pool_directory().trim_here(1), 128u);
  EXPECT_EQ(mine.stats().held_bytes, 0u);
}

}  // namespace
}  // namespace om
