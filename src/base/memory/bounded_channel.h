// A queue between one producer and one consumer, bounded by the bytes its items stand for: the one
// buffer a stream has. A full channel tells the producer to wait, which is how a slow client slows
// the runner down.
//
// Not thread-safe and without waiting: io adds the events. An idle channel holds no memory; items
// live in segments that all channels of one item type share through a pool.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/memory/pool.h"

namespace om {

namespace channel_detail {

template <class T>
struct Entry {
  T item;
  size_t bytes = 0;
};

template <class T>
struct Segment {
  static constexpr size_t kItems = std::max<size_t>(8, 2048 / sizeof(Entry<T>));
  Segment* next = nullptr;
  alignas(Entry<T>) std::byte items[kItems * sizeof(Entry<T>)];

  void* place(size_t index) { return items + index * sizeof(Entry<T>); }
  Entry<T>* at(size_t index) { return std::launder(static_cast<Entry<T>*>(place(index))); }
};

// Segments not in use, of one thread.
template <class T>
class SegmentPool final : public Pool {
 public:
  static constexpr size_t kHeldBytesMax = 2 << 20;

  explicit SegmentPool(std::string_view name) : Pool(name, kHeldBytesMax) {}
  ~SegmentPool() override { trim(1); }

  Segment<T>* get() {
    used_bytes_.add(sizeof(Segment<T>));
    if (idle_ == nullptr) {
      misses_.add(1);
      return new Segment<T>;
    }
    hits_.add(1);
    return take();
  }

  void put(Segment<T>* segment) {
    used_bytes_.subtract(sizeof(Segment<T>));
    if (held_bytes_.value() + sizeof(Segment<T>) > held_bytes_max()) {
      delete segment;
      return;
    }
    held_bytes_.add(sizeof(Segment<T>));
    segment->next = idle_;
    idle_ = segment;
    poison_memory(segment->items, sizeof(segment->items));
  }

  size_t trim(double fraction) override {
    const size_t keep = keep_after_trim(fraction);
    size_t released = 0;
    while (idle_ != nullptr && held_bytes_.value() > keep) {
      delete take();
      released += sizeof(Segment<T>);
    }
    return released;
  }

 private:
  Segment<T>* take() {
    auto* segment = idle_;
    idle_ = std::exchange(segment->next, nullptr);
    held_bytes_.subtract(sizeof(Segment<T>));
    unpoison_memory(segment->items, sizeof(segment->items));
    return segment;
  }

  Segment<T>* idle_ = nullptr;
};

}  // namespace channel_detail

// What the channels of one item type share; make one a type, beside the type's users.
template <class T>
using ChannelMemory = channel_detail::SegmentPool<T>;

// The queue itself; see above. One thread uses it and its memory.
template <class T>
class BoundedChannel {
 public:
  // `memory` must outlive the channel and be used from the same thread.
  BoundedChannel(ChannelMemory<T>& memory, size_t bytes_max)
      : memory_(memory), bytes_max_(bytes_max) {}
  BoundedChannel(const BoundedChannel&) = delete;
  BoundedChannel& operator=(const BoundedChannel&) = delete;
  ~BoundedChannel() { clear(); }

  // Takes `item`, which stands for `bytes`, unless the channel is closed or the bytes would pass
  // the bound; `item` is then untouched. An item larger than the whole bound fits an empty channel,
  // or it could never travel.
  bool push(T&& item, size_t bytes) {
    if (closed_ || (count_ > 0 && bytes > bytes_max_ - std::min(bytes_, bytes_max_))) return false;
    if (last_used_ == Segment::kItems) [[unlikely]]
      add_segment();
    new (last_->place(last_used_++)) Entry{std::move(item), bytes};
    bytes_ += bytes;
    count_++;
    return true;
  }

  std::optional<T> pop() {
    if (count_ == 0) return std::nullopt;
    return take();
  }

  // The same for a channel that is known not to be empty.
  T take() {
    CHECK(count_ > 0);
    Entry* entry = first_->at(first_used_++);
    T item(std::move(entry->item));
    bytes_ -= entry->bytes;
    entry->~Entry();
    if (--count_ == 0 || first_used_ == Segment::kItems) [[unlikely]]
      drop_first_segment();
    return item;
  }

  // No more pushes; what is inside can still be taken.
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  bool finished() const { return closed_ && count_ == 0; }

  bool empty() const { return count_ == 0; }
  bool full() const { return bytes_ >= bytes_max_; }
  size_t size() const { return count_; }
  size_t bytes() const { return bytes_; }

  void clear() {
    while (count_ > 0) take();
  }

 private:
  using Entry = channel_detail::Entry<T>;
  using Segment = channel_detail::Segment<T>;

  void add_segment() {
    Segment* fresh = memory_.get();
    if (last_ == nullptr) {
      first_ = fresh;
      first_used_ = 0;
    } else {
      last_->next = fresh;
    }
    last_ = fresh;
    last_used_ = 0;
  }

  void drop_first_segment() {
    Segment* empty = first_;
    first_ = std::exchange(empty->next, nullptr);
    first_used_ = 0;
    if (first_ == nullptr) {
      last_ = nullptr;
      last_used_ = Segment::kItems;
    }
    memory_.put(empty);
  }

  ChannelMemory<T>& memory_;
  const size_t bytes_max_;
  size_t bytes_ = 0;
  size_t count_ = 0;
  bool closed_ = false;
  Segment* first_ = nullptr;
  Segment* last_ = nullptr;
  size_t first_used_ = 0;               // Items already taken from the first segment.
  size_t last_used_ = Segment::kItems;  // Places filled in the last one; all while there is none.
};

}  // namespace om
