#include "base/memory/arena.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace om {

Arena::Arena() { blocks_.reserve(8); }

Arena::~Arena() {
  for (const auto& block : blocks_) {
    unpoison_memory(block.data, block.size);
    std::free(block.data);
  }
}

void Arena::use_block(size_t index) {
  in_use_ = index;
  next_ = blocks_[index].data;
  end_ = next_ + blocks_[index].size;
  unpoison_memory(blocks_[index].data, blocks_[index].size);
}

void* Arena::allocate_in_new_block(size_t bytes, size_t alignment) {
  const size_t wanted = bytes + alignment;
  CHECK(wanted > bytes, "an allocation of absurd size");
  // First a block kept from an earlier request; those too small are passed over.
  for (size_t index = next_ == nullptr ? 0 : in_use_ + 1; index < blocks_.size(); index++) {
    if (blocks_[index].size < wanted) continue;
    use_block(index);
    return allocate(bytes, alignment);
  }
  const size_t doubled = blocks_.empty() ? kFirstBlockBytes : blocks_.back().size * 2;
  const size_t size = std::max(std::min(doubled, kBlockBytesMax), wanted);
  auto* data = static_cast<char*>(std::malloc(size));
  CHECK(data != nullptr, "out of memory");
  blocks_.push_back({data, size});
  bytes_ += size;
  use_block(blocks_.size() - 1);
  return allocate(bytes, alignment);
}

void Arena::reset(size_t keep_bytes) {
  next_ = nullptr;
  end_ = nullptr;
  in_use_ = 0;
  while (!blocks_.empty() && bytes_ > keep_bytes) {
    unpoison_memory(blocks_.back().data, blocks_.back().size);
    std::free(blocks_.back().data);
    bytes_ -= blocks_.back().size;
    blocks_.pop_back();
  }
  for (const auto& block : blocks_) poison_memory(block.data, block.size);
}

void ArenaReturn::operator()(Arena* arena) const { pool->put(std::unique_ptr<Arena>(arena)); }

ArenaPool::ArenaPool(size_t held_bytes_max, std::string_view name) : Pool(name, held_bytes_max) {}

ArenaPool::~ArenaPool() { CHECK(used_bytes_.value() == 0, "an arena outlives its pool"); }

PooledArena ArenaPool::get() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto arena = std::move(idle_.back());
      idle_.pop_back();
      hits_.add(1);
      held_bytes_.subtract(arena->bytes());
      used_bytes_.add(Arena::kFirstBlockBytes);
      return PooledArena(arena.release(), ArenaReturn{this});
    }
    misses_.add(1);
    used_bytes_.add(Arena::kFirstBlockBytes);
  }
  return PooledArena(new Arena(), ArenaReturn{this});
}

void ArenaPool::put(std::unique_ptr<Arena> arena) {
  arena->reset(kKeptBytesMax);
  const std::lock_guard lock(mutex_);
  used_bytes_.subtract(Arena::kFirstBlockBytes);
  if (held_bytes_.value() + arena->bytes() > held_bytes_max()) return;
  held_bytes_.add(arena->bytes());
  idle_.push_back(std::move(arena));
}

size_t ArenaPool::trim(double fraction) {
  const std::lock_guard lock(mutex_);
  const size_t keep = keep_after_trim(fraction);
  size_t released = 0;
  while (!idle_.empty() && held_bytes_.value() > keep) {
    released += idle_.back()->bytes();
    held_bytes_.subtract(idle_.back()->bytes());
    idle_.pop_back();
  }
  return released;
}

ArenaPool& arenas() {
  static auto* pool = new ArenaPool();
  return *pool;
}

}  // namespace om
