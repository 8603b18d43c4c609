// Objects that are costly to fill with memory (parsers, connections' line buffers), used again with
// the memory they already have.
//
//   struct HeadParser { void reset(); size_t memory_bytes() const; ... };
//   ObjectPool<HeadParser> parsers{"head_parsers"};
//   auto parser = parsers.get();        // Fresh, or reset().
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/memory/pool.h"

namespace om {

// reset(): as newly made, keeping memory; memory_bytes(): what the object occupies with all it
// keeps.
template <class T>
concept Recyclable = std::default_initializable<T> && requires(T& object, const T& fixed) {
  object.reset();
  { fixed.memory_bytes() } -> std::convertible_to<size_t>;
};

// Thread-safe. Must outlive its objects. An object that has grown above kObjectBytesMax is
// destroyed rather than kept. used_bytes counts sizeof(T) for each object lent.
template <Recyclable T>
class ObjectPool final : public Pool {
 public:
  static constexpr size_t kHeldBytesMax = 4 << 20;
  static constexpr size_t kObjectBytesMax = 128 << 10;

  struct Return {
    ObjectPool* pool = nullptr;
    void operator()(T* object) const { pool->put(std::unique_ptr<T>(object)); }
  };
  using Handle = std::unique_ptr<T, Return>;

  explicit ObjectPool(std::string_view name, size_t held_bytes_max = kHeldBytesMax)
      : Pool(name, held_bytes_max) {}
  ~ObjectPool() override { CHECK(used_bytes_.value() == 0, "an object outlives its pool"); }

  Handle get() {
    {
      const std::lock_guard lock(mutex_);
      used_bytes_.add(sizeof(T));
      if (!idle_.empty()) {
        auto idle = std::move(idle_.back());
        idle_.pop_back();
        hits_.add(1);
        held_bytes_.subtract(idle.bytes);
        return Handle(idle.object.release(), Return{this});
      }
      misses_.add(1);
    }
    return Handle(new T(), Return{this});
  }

  size_t trim(double fraction) override {
    const std::lock_guard lock(mutex_);
    const size_t keep = keep_after_trim(fraction);
    size_t released = 0;
    while (!idle_.empty() && held_bytes_.value() > keep) {
      released += idle_.back().bytes;
      held_bytes_.subtract(idle_.back().bytes);
      idle_.pop_back();
    }
    return released;
  }
  bool trims_here() const override { return true; }

 private:
  struct Idle {
    std::unique_ptr<T> object;
    size_t bytes = 0;
  };

  void put(std::unique_ptr<T> object) {
    object->reset();
    const size_t bytes = object->memory_bytes();
    const std::lock_guard lock(mutex_);
    used_bytes_.subtract(sizeof(T));
    if (bytes > kObjectBytesMax || held_bytes_.value() + bytes > held_bytes_max()) return;
    held_bytes_.add(bytes);
    idle_.push_back({std::move(object), bytes});
  }

  std::mutex mutex_;
  std::vector<Idle> idle_;
};

}  // namespace om
