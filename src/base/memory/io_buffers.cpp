#include "base/memory/io_buffers.h"

#include <cstdlib>

#include "base/check.h"

namespace om {
namespace {

size_t class_of(size_t bytes) {
  size_t index = 0;
  while (index < IoBufferPool::kSizes.size() && IoBufferPool::kSizes[index] < bytes) index++;
  return index;
}

char* allocate(size_t bytes) {
  auto* data = static_cast<char*>(std::malloc(bytes));
  CHECK(data != nullptr, "out of memory");
  return data;
}

}  // namespace

void IoBuffer::reset() {
  if (data_ != nullptr) pool_->put(data_, size_);
  pool_ = nullptr;
  data_ = nullptr;
  size_ = 0;
}

IoBufferPool::IoBufferPool(size_t held_bytes_max, std::string_view name)
    : Pool(name, held_bytes_max) {}

IoBufferPool::~IoBufferPool() {
  const std::lock_guard lock(mutex_);
  CHECK(used_bytes_.value() == 0, "a buffer outlives its pool");
  release_down_to(0);
}

IoBuffer IoBufferPool::get(size_t bytes) {
  const size_t index = class_of(bytes);
  const size_t size = index < kSizes.size() ? kSizes[index] : bytes;
  {
    const std::lock_guard lock(mutex_);
    used_bytes_.add(size);
    if (index < kSizes.size() && !idle_[index].empty()) {
      char* data = idle_[index].back();
      idle_[index].pop_back();
      hits_.add(1);
      held_bytes_.subtract(size);
      unpoison_memory(data, size);
      return {this, data, size};
    }
    misses_.add(1);
  }
  return {this, allocate(size), size};
}

void IoBufferPool::put(char* data, size_t size) {
  const size_t index = class_of(size);
  {
    const std::lock_guard lock(mutex_);
    used_bytes_.subtract(size);
    if (index < kSizes.size() && held_bytes_.value() + size <= held_bytes_max()) {
      poison_memory(data, size);
      idle_[index].push_back(data);
      held_bytes_.add(size);
      return;
    }
  }
  std::free(data);
}

size_t IoBufferPool::trim(double fraction) {
  const std::lock_guard lock(mutex_);
  return release_down_to(keep_after_trim(fraction));
}

size_t IoBufferPool::release_down_to(size_t held_bytes) {
  size_t released = 0;
  // The largest first: fewest calls for the bytes.
  for (size_t index = kSizes.size(); index-- > 0;) {
    auto& idle = idle_[index];
    while (!idle.empty() && held_bytes_.value() > held_bytes) {
      unpoison_memory(idle.back(), kSizes[index]);
      std::free(idle.back());
      idle.pop_back();
      held_bytes_.subtract(kSizes[index]);
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
