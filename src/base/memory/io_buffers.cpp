#include "base/memory/io_buffers.h"

#include <cstdlib>

#include "base/check.h"

namespace om {
namespace {

char* allocate(size_t bytes) {
  auto* data = static_cast<char*>(std::malloc(bytes));
  CHECK(data != nullptr, "out of memory");
  return data;
}

}  // namespace

IoBufferPool::IoBufferPool(size_t held_bytes_max, std::string_view name)
    : Pool(name, held_bytes_max) {}

IoBufferPool::~IoBufferPool() {
  CHECK(stats().used_bytes == 0, "a buffer outlives its pool");
  collect_from_elsewhere();
  release_down_to(0);
}

IoBuffer IoBufferPool::get_new(size_t bytes, size_t index) {
  const size_t size = index == kNoClass ? bytes : kSizes[index];
  if (!owned_here()) {
    elsewhere_.used_bytes.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
    elsewhere_.misses.fetch_add(1, std::memory_order_relaxed);
    return {this, allocate(size), size};
  }
  used_bytes_.add(size);
  if (index != kNoClass && elsewhere_.held_bytes.load(std::memory_order_relaxed) > 0) {
    collect_from_elsewhere();
    if (idle_[index] != nullptr) {
      hits_.add(1);
      return {this, take(index), size};
    }
  }
  misses_.add(1);
  return {this, allocate(size), size};
}

// A block that put() does not keep, or that comes back on another thread.
void IoBufferPool::put_elsewhere(char* data, size_t size) {
  if (owned_here()) {
    used_bytes_.subtract(size);
    return std::free(data);
  }
  elsewhere_.used_bytes.fetch_sub(static_cast<int64_t>(size), std::memory_order_relaxed);
  const size_t index = class_of(size);
  const std::lock_guard lock(mutex_);
  const auto waiting = static_cast<size_t>(elsewhere_.held_bytes.load(std::memory_order_relaxed));
  if (index == kNoClass || held_bytes_.value() + waiting + size > held_bytes_max()) {
    return std::free(data);
  }
  returned_[index] = new (data) Block{returned_[index]};
  elsewhere_.held_bytes.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed);
}

void IoBufferPool::collect_from_elsewhere() {
  const std::lock_guard lock(mutex_);
  for (size_t index = 0; index < kSizes.size(); index++) {
    while (returned_[index] != nullptr) {
      Block* block = returned_[index];
      returned_[index] = block->next;
      keep(reinterpret_cast<char*>(block), index);
    }
  }
  elsewhere_.held_bytes.store(0, std::memory_order_relaxed);
}

size_t IoBufferPool::trim(double fraction) {
  CHECK(owned_here());
  collect_from_elsewhere();
  return release_down_to(keep_after_trim(fraction));
}

size_t IoBufferPool::release_down_to(size_t held_bytes) {
  size_t released = 0;
  // The largest first: fewest calls for the bytes.
  for (size_t index = kSizes.size(); index-- > 0;) {
    while (idle_[index] != nullptr && held_bytes_.value() > held_bytes) {
      std::free(take(index));
      released += kSizes[index];
    }
  }
  return released;
}

IoBufferPool& io_buffers() {
  static auto* pool = new IoBufferPool();
  return *pool;
}

}  // namespace om
