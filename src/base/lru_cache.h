// A bounded map that forgets what was not asked for longest.
//
//   LruCache<Digest, Manifest> manifests{"manifests", {.entries_max = 1000, .bytes_max = 8 << 20}};
//   manifests.put(digest, manifest, manifest_bytes);
//   if (Manifest* found = manifests.get(digest)) ...
//
// Used from one thread. It is a Pool: its hits, misses and bytes are exported under its name, and
// the memory governor may trim it.
#pragma once

#include <cstddef>
#include <functional>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/memory/pool.h"

namespace om {

struct LruLimits {
  size_t entries_max = 1000;
  size_t bytes_max = 1 << 20;
};

template <class Key, class Value, class Hash = std::hash<Key>>
class LruCache final : public Pool {
 public:
  // Called with each entry that is pushed out by a bound or by trim(), not for erase(), clear() or
  // replacement. It must not touch the cache.
  using OnEvict = std::function<void(const Key& key, Value& value)>;

  LruCache(std::string_view name, LruLimits limits, OnEvict on_evict = {})
      : Pool(name, limits.bytes_max), limits_(limits), on_evict_(std::move(on_evict)) {
    CHECK(limits.entries_max > 0);
  }
  ~LruCache() override = default;

  // Puts or replaces; the entry is now the most recent. False, with any older value of the key
  // gone too, if `bytes` alone is more than the cache may hold.
  bool put(const Key& key, Value value, size_t bytes) {
    erase(key);
    if (bytes > limits_.bytes_max) return false;
    while (entries_.size() >= limits_.entries_max || this->bytes() + bytes > limits_.bytes_max) {
      evict_oldest();
    }
    auto& [stored_key, entry] = *entries_.try_emplace(key, std::move(value), bytes).first;
    entry.key = &stored_key;
    link_front(entry);
    held_bytes_.add(bytes);
    return true;
  }

  // The value, now the most recent, or nullptr. Counts a hit or a miss. Good until the next put(),
  // erase() or trim().
  Value* get(const Key& key) {
    auto found = entries_.find(key);
    if (found == entries_.end()) {
      misses_.add(1);
      return nullptr;
    }
    hits_.add(1);
    unlink(found->second);
    link_front(found->second);
    return &found->second.value;
  }

  // The same without counting and without making it recent.
  const Value* peek(const Key& key) const {
    auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second.value;
  }

  bool erase(const Key& key) {
    auto found = entries_.find(key);
    if (found == entries_.end()) return false;
    held_bytes_.subtract(found->second.bytes);
    unlink(found->second);
    entries_.erase(found);
    return true;
  }

  void clear() {
    entries_.clear();
    held_bytes_.set(0);
    newest_ = oldest_ = nullptr;
  }

  size_t trim(double fraction) override {
    const size_t before = bytes();
    const size_t keep = keep_after_trim(fraction);
    while (bytes() > keep) evict_oldest();
    return before - bytes();
  }

  size_t size() const { return entries_.size(); }
  size_t bytes() const { return held_bytes_.value(); }

  // For tests: from the most to the least recent, without counting.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const Entry* entry = newest_; entry != nullptr; entry = entry->older) {
      visit(*entry->key, entry->value);
    }
  }

 private:
  struct Entry {
    Entry(Value held, size_t size) : value(std::move(held)), bytes(size) {}
    Value value;
    size_t bytes;
    const Key* key = nullptr;  // In the map's node, which does not move.
    Entry* newer = nullptr;
    Entry* older = nullptr;
  };

  void link_front(Entry& entry) {
    entry.newer = nullptr;
    entry.older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = &entry;
    newest_ = &entry;
  }

  void unlink(Entry& entry) {
    (entry.newer != nullptr ? entry.newer->older : newest_) = entry.older;
    (entry.older != nullptr ? entry.older->newer : oldest_) = entry.newer;
  }

  void evict_oldest() {
    CHECK(oldest_ != nullptr);
    if (on_evict_) on_evict_(*oldest_->key, oldest_->value);
    erase(Key(*oldest_->key));
  }

  const LruLimits limits_;
  const OnEvict on_evict_;
  std::unordered_map<Key, Entry, Hash> entries_;
  Entry* newest_ = nullptr;
  Entry* oldest_ = nullptr;
};

}  // namespace om
