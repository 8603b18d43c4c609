// What all memory pools and caches have in common: a name, a cap on what they keep idle, counters
// for the metrics, and trim() for the memory governor.
//
// All living pools are listed in the process's PoolDirectory, which exports for each pool name
// (pools of one name are added up):
//   ollamamax_pool_hits_total, ollamamax_pool_misses_total, ollamamax_pool_held_bytes,
//   ollamamax_pool_held_bytes_max, ollamamax_pool_used_bytes
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define OM_ADDRESS_SANITIZER 1
#endif
#endif

namespace om {

// A number that one thread (or a lock's holder) writes and any thread reads: a plain increment,
// without the cost of a locked instruction.
class OwnedCount {
 public:
  void add(uint64_t amount) { set(value() + amount); }
  void subtract(uint64_t amount) { set(value() - amount); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct PoolStats {
  uint64_t hits = 0;        // Served from what was kept.
  uint64_t misses = 0;      // Had to allocate.
  uint64_t held_bytes = 0;  // Kept idle now.
  uint64_t held_bytes_max = 0;
  uint64_t used_bytes = 0;  // Lent out now.
};

// One pool or cache, listed in the directory as long as it lives. Its counters may be read from any
// thread; everything else belongs to the thread that the derived class names.
class Pool {
 public:
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  const std::string& name() const { return name_; }
  // From any thread.
  PoolStats stats() const;

  // Gives back about `fraction` (0 to 1) of the bytes kept idle and says how many. What is lent out
  // stays. Called where the pool is used: see the class for its threads.
  virtual size_t trim(double fraction) = 0;
  // Whether the calling thread may trim: the one that made the pool, unless the class says more.
  virtual bool trims_here() const { return maker_ == &thread_mark_; }

 protected:
  Pool(std::string_view name, size_t held_bytes_max);
  virtual ~Pool();

  size_t held_bytes_max() const { return held_bytes_max_; }
  // How much may stay after trim(fraction).
  size_t keep_after_trim(double fraction) const;

  OwnedCount hits_;
  OwnedCount misses_;
  OwnedCount held_bytes_;
  OwnedCount used_bytes_;

  // The part of other threads, for pools that one thread owns. May be negative for itself.
  struct Elsewhere {
    std::atomic<uint64_t> misses{0};
    std::atomic<int64_t> held_bytes{0};
    std::atomic<int64_t> used_bytes{0};
  };
  Elsewhere elsewhere_;

 private:
  // Its address tells threads apart.
  static inline thread_local char thread_mark_ = 0;

  const std::string name_;
  const size_t held_bytes_max_;
  const void* const maker_ = &thread_mark_;
};

// All pools of the process, for the metrics page and the admin API.
class PoolDirectory {
 public:
  struct Entry {
    std::string name;
    PoolStats stats;
  };
  // Ordered by name; pools of one name are added up.
  std::vector<Entry> list() const;

  // Trims every pool that the calling thread may trim, and says how many bytes that gave back. What
  // a pool drops must not make or end another pool.
  size_t trim_here(double fraction);

 private:
  friend class Pool;
  friend PoolDirectory& pool_directory();
  PoolDirectory();

  mutable std::mutex mutex_;
  std::vector<Pool*> pools_;
};
PoolDirectory& pool_directory();

// Idle memory in a pool is marked for the address sanitizer, so that use after giving back is found
// although the memory was never freed. They do nothing in other builds.
#if defined(OM_ADDRESS_SANITIZER)
inline void poison_memory(const void* memory, size_t bytes) {
  ASAN_POISON_MEMORY_REGION(memory, bytes);
}
inline void unpoison_memory(const void* memory, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
}
#else
inline void poison_memory(const void*, size_t) {}
inline void unpoison_memory(const void*, size_t) {}
#endif

}  // namespace om
