#include "base/memory/frame_pool.h"

namespace om {

FramePool::FramePool(size_t held_bytes_max, std::string_view name) : Pool(name, held_bytes_max) {}

FramePool::~FramePool() { trim(1); }

FramePool& FramePool::make_current() {
  // Ends with the thread; after that the thread's blocks pass through a pool that keeps nothing.
  struct Holder {
    FramePool pool;
    ~Holder() {
      static auto* late = new FramePool(0, "frames_late");
      current_ = late;
    }
  };
  thread_local Holder holder;
  current_ = &holder.pool;
  return holder.pool;
}

void* FramePool::allocate_new(size_t size) {
  misses_.add(1);
  return ::operator new(size);
}

size_t FramePool::trim(double fraction) {
  const size_t keep = keep_after_trim(fraction);
  size_t released = 0;
  for (size_t index = lists_.size(); index-- > 0;) {
    while (lists_[index] != nullptr && held_bytes_.value() > keep) {
      ::operator delete(take(index));
      released += index * kGranule;
    }
  }
  return released;
}

}  // namespace om
