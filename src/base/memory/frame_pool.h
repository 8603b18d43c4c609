// Small blocks of one thread, recycled by size: coroutine frames, completion handlers, nodes.
//
// Each thread has its own lists, so there are no locks; a block may be freed on another thread
// than the one that made it and then stays there. Sizes are rounded up to 64 bytes; blocks above
// kBlockBytesMax pass through to the heap. Freeing needs the size, as sized operator delete and
// allocators have it.
#pragma once

#include <array>
#include <cstddef>
#include <new>

#include "base/memory/pool.h"

namespace om {

class FramePool final : public Pool {
 public:
  static constexpr size_t kGranule = 64;
  static constexpr size_t kBlockBytesMax = 8192;
  static constexpr size_t kHeldBytesMax = 4 << 20;  // For one thread.

  explicit FramePool(size_t held_bytes_max = kHeldBytesMax, std::string_view name = "frames");
  ~FramePool() override;

  // Works until the very end: what is freed after the thread's pool is gone goes to the heap.
  static FramePool& of_this_thread() {
    if (current_ != nullptr) [[likely]]
      return *current_;
    return make_current();
  }

  void* allocate(size_t bytes) {
    if (bytes > kBlockBytesMax) return ::operator new(bytes);
    const size_t index = index_of(bytes);
    used_bytes_.add(index * kGranule);
    if (lists_[index] == nullptr) return allocate_new(index * kGranule);
    hits_.add(1);
    return take(index);
  }

  void deallocate(void* memory, size_t bytes) noexcept {
    if (bytes > kBlockBytesMax) return ::operator delete(memory);
    const size_t index = index_of(bytes);
    const size_t size = index * kGranule;
    // May go below zero where blocks are freed on another thread; the sum over threads is right.
    used_bytes_.subtract(size);
    if (held_bytes_.value() + size > held_bytes_max()) return ::operator delete(memory);
    keep(memory, index);
  }

  // Of the calling thread's pool only.
  size_t trim(double fraction) override;

 private:
  struct Block {
    Block* next = nullptr;
  };

  static size_t index_of(size_t bytes) {
    return bytes == 0 ? 1 : (bytes + kGranule - 1) / kGranule;
  }
  static FramePool& make_current();
  void* allocate_new(size_t size);

  void* take(size_t index) {
    Block* block = lists_[index];
    unpoison_memory(block, index * kGranule);
    lists_[index] = block->next;
    held_bytes_.subtract(index * kGranule);
    return block;
  }
  void keep(void* memory, size_t index) noexcept {
    auto* block = new (memory) Block{lists_[index]};
    lists_[index] = block;
    held_bytes_.add(index * kGranule);
    poison_memory(block, index * kGranule);
  }

  static inline constinit thread_local FramePool* current_ = nullptr;
  std::array<Block*, kBlockBytesMax / kGranule + 1> lists_{};
};

// Base of objects made and destroyed often (promises, operations): gives them operator new and
// delete from the thread's pool.
struct PooledFrame {
  static void* operator new(size_t bytes) { return FramePool::of_this_thread().allocate(bytes); }
  static void operator delete(void* memory, size_t bytes) noexcept {
    FramePool::of_this_thread().deallocate(memory, bytes);
  }
};

// The same as an allocator, for containers with nodes and for asio::bind_allocator.
template <class T>
struct FrameAllocator {
  using value_type = T;
  FrameAllocator() = default;
  template <class U>
  FrameAllocator(const FrameAllocator<U>&) {}

  T* allocate(size_t count) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return static_cast<T*>(FramePool::of_this_thread().allocate(count * sizeof(T)));
  }
  void deallocate(T* memory, size_t count) noexcept {
    FramePool::of_this_thread().deallocate(memory, count * sizeof(T));
  }
  bool operator==(const FrameAllocator&) const = default;
};

}  // namespace om
