// Memory for one request: taken piece by piece, given back whole.
//
//   auto arena = arenas().get();
//   auto document = boost::json::parse(text, error, arena->json_storage());
//   std::pmr::string path(arena->resource());
//
// Whatever was allocated in an arena must be dead (or trivially destructible) before the arena
// goes back to its pool.
#pragma once

#include <boost/json/memory_resource.hpp>
#include <boost/json/storage_ptr.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <type_traits>
#include <vector>

#include "base/memory/pool.h"

namespace om {

// Bump allocation in blocks of rising size. Used from one thread at a time. deallocate() does
// nothing; the destructor or reset() frees all.
class Arena final : public std::pmr::memory_resource, public boost::json::memory_resource {
 public:
  static constexpr size_t kFirstBlockBytes = 16 << 10;
  static constexpr size_t kBlockBytesMax = 1 << 20;  // Blocks double up to this.

  Arena();
  ~Arena() override;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(size_t bytes, size_t alignment = alignof(std::max_align_t)) {
    bytes += bytes == 0;  // Even nothing has an address of its own.
    const auto at = (reinterpret_cast<uintptr_t>(next_) + alignment - 1) & ~(alignment - 1);
    const auto end = reinterpret_cast<uintptr_t>(end_);
    if (at <= end && bytes <= end - at) {
      next_ = reinterpret_cast<char*>(at + bytes);
      return reinterpret_cast<void*>(at);
    }
    return allocate_in_new_block(bytes, alignment);
  }

  std::pmr::memory_resource* resource() { return this; }
  boost::json::storage_ptr json_storage();

  size_t bytes() const { return bytes_; }  // Of all blocks.
  // Forgets everything allocated and keeps blocks of at most `keep_bytes` together.
  void reset(size_t keep_bytes = kFirstBlockBytes);

 private:
  struct Block {
    char* data = nullptr;
    size_t size = 0;
  };

  void* allocate_in_new_block(size_t bytes, size_t alignment);
  void use_block(size_t index);

  void* do_allocate(size_t bytes, size_t alignment) override { return allocate(bytes, alignment); }
  void do_deallocate(void*, size_t, size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
  bool do_is_equal(const boost::json::memory_resource& other) const noexcept override {
    return this == &other;
  }

  char* next_ = nullptr;
  char* end_ = nullptr;
  std::vector<Block> blocks_;
  size_t in_use_ = 0;  // blocks_[in_use_] is being filled; those behind it are kept and empty.
  size_t bytes_ = 0;
};

}  // namespace om

// JSON values in an arena need not be taken apart before it is reset.
template <>
struct boost::json::is_deallocate_trivial<om::Arena> : std::true_type {};

namespace om {

inline boost::json::storage_ptr Arena::json_storage() { return boost::json::storage_ptr(this); }

class ArenaPool;
struct ArenaReturn {
  ArenaPool* pool = nullptr;
  void operator()(Arena* arena) const;
};
using PooledArena = std::unique_ptr<Arena, ArenaReturn>;

// Thread-safe. Must outlive its arenas. used_bytes counts the first block of each arena lent, since
// what a running request adds is known to its own thread only. An arena is kept with up to
// kKeptBytesMax of its blocks, so that one huge request does not stay in memory.
class ArenaPool final : public Pool {
 public:
  static constexpr size_t kHeldBytesMax = 16 << 20;
  static constexpr size_t kKeptBytesMax = 256 << 10;

  explicit ArenaPool(size_t held_bytes_max = kHeldBytesMax, std::string_view name = "arenas");
  ~ArenaPool() override;

  PooledArena get();
  size_t trim(double fraction) override;
  bool trims_here() const override { return true; }

 private:
  friend struct ArenaReturn;
  void put(std::unique_ptr<Arena> arena);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Arena>> idle_;
};

ArenaPool& arenas();  // The process's own.

}  // namespace om
