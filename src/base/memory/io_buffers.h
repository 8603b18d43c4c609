// Buffers for reading and writing sockets and files, in few sizes, so that big blocks are not
// asked of and returned to the system for each transfer.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

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
  void reset();  // Gives the block back now.

 private:
  friend class IoBufferPool;
  IoBuffer(IoBufferPool* pool, char* data, size_t size) : pool_(pool), data_(data), size_(size) {}

  IoBufferPool* pool_ = nullptr;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Thread-safe. Must outlive its buffers.
class IoBufferPool final : public Pool {
 public:
  static constexpr std::array<size_t, 4> kSizes = {16 << 10, 64 << 10, 256 << 10, 1 << 20};
  static constexpr size_t kHeldBytesMax = 32 << 20;

  explicit IoBufferPool(size_t held_bytes_max = kHeldBytesMax,
                        std::string_view name = "io_buffers");
  ~IoBufferPool() override;

  // A buffer of at least `bytes`: the smallest class that fits. Above the largest class it is
  // allocated to measure and not kept afterwards.
  IoBuffer get(size_t bytes);

  size_t trim(double fraction) override;

 private:
  friend class IoBuffer;
  void put(char* data, size_t size);
  size_t release_down_to(size_t held_bytes);

  std::mutex mutex_;
  std::array<std::vector<char*>, kSizes.size()> idle_;
};

// The process's own.
IoBufferPool& io_buffers();

}  // namespace om
