// Buffers for reading and writing sockets and files, in few sizes, so that big blocks are not
// asked of and returned to the system for each transfer.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <span>
#include <utility>

#include "base/memory/pool.h"

namespace om {

class IoBufferPool;

// A block lent from a pool; goes back when destroyed, from any thread. Its bytes are whatever the
// last user left: never send more than you wrote.
class IoBuffer {
 public:
  IoBuffer() = default;
  IoBuffer(IoBuffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  IoBuffer& operator=(IoBuffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~IoBuffer() { reset(); }

  char* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<char> span() const { return {data_, size_}; }
  explicit operator bool() const { return data_ != nullptr; }
  inline void reset();  // Gives the block back now.

 private:
  friend class IoBufferPool;
  IoBuffer(IoBufferPool* pool, char* data, size_t size) : pool_(pool), data_(data), size_(size) {}

  IoBufferPool* pool_ = nullptr;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Belongs to the thread that made it (the io thread), which takes no lock. Other threads may use it
// as well: what they ask for is allocated, and what they give back waits under a lock until the
// owner needs it. Must outlive its buffers.
class IoBufferPool final : public Pool {
 public:
  static constexpr std::array<size_t, 4> kSizes = {16 << 10, 64 << 10, 256 << 10, 1 << 20};
  static constexpr size_t kHeldBytesMax = 32 << 20;

  explicit IoBufferPool(size_t held_bytes_max = kHeldBytesMax,
                        std::string_view name = "io_buffers");
  ~IoBufferPool() override;

  // From any thread. A buffer of at least `bytes`: the smallest class that fits. Above the largest
  // class it is allocated to measure and not kept afterwards.
  IoBuffer get(size_t bytes);

  // On the owner's thread.
  size_t trim(double fraction) override;

 private:
  friend class IoBuffer;
  static constexpr size_t kNoClass = kSizes.size();
  struct Block {
    Block* next = nullptr;
  };
  using Lists = std::array<Block*, kSizes.size()>;

  // The smallest class that holds `bytes`; each is four times the one before.
  static size_t class_of(size_t bytes) {
    if (bytes <= kSizes[0]) return 0;
    const auto index = (static_cast<size_t>(std::bit_width(bytes - 1)) - kFirstBits + 1) / 2;
    return std::min(index, kNoClass);
  }
  static constexpr size_t kFirstBits = 14;
  static_assert(kSizes[0] == 1 << kFirstBits && kSizes[1] == kSizes[0] << 2 &&
                kSizes[2] == kSizes[1] << 2 && kSizes[3] == kSizes[2] << 2);

  bool owned_here() const { return owner_ == &thread_mark_; }
  IoBuffer get_new(size_t bytes, size_t index);
  void put(char* data, size_t size);
  void put_elsewhere(char* data, size_t size);
  char* take(size_t index);
  void keep(char* data, size_t index);
  void collect_from_elsewhere();
  size_t release_down_to(size_t held_bytes);

  // Its address tells threads apart.
  static inline thread_local char thread_mark_ = 0;

  const void* const owner_ = &thread_mark_;
  Lists idle_{};

  std::mutex mutex_;  // Guards returned_.
  Lists returned_{};
};

inline char* IoBufferPool::take(size_t index) {
  Block* block = idle_[index];
  unpoison_memory(block, kSizes[index]);
  idle_[index] = block->next;
  held_bytes_.subtract(kSizes[index]);
  return reinterpret_cast<char*>(block);
}

inline void IoBufferPool::keep(char* data, size_t index) {
  idle_[index] = new (data) Block{idle_[index]};
  held_bytes_.add(kSizes[index]);
  poison_memory(data, kSizes[index]);
}

inline IoBuffer IoBufferPool::get(size_t bytes) {
  const size_t index = class_of(bytes);
  if (index == kNoClass || !owned_here() || idle_[index] == nullptr) return get_new(bytes, index);
  hits_.add(1);
  used_bytes_.add(kSizes[index]);
  return {this, take(index), kSizes[index]};
}

inline void IoBufferPool::put(char* data, size_t size) {
  const size_t index = class_of(size);
  if (index == kNoClass || !owned_here() || held_bytes_.value() + size > held_bytes_max()) {
    return put_elsewhere(data, size);
  }
  used_bytes_.subtract(size);
  keep(data, index);
}

inline void IoBuffer::reset() {
  if (data_ != nullptr) pool_->put(data_, size_);
  pool_ = nullptr;
  data_ = nullptr;
  size_ = 0;
}

// The process's own; first asked for on the io thread.
IoBufferPool& io_buffers();

}  // namespace om
