// What graphics cards have left for models.
#pragma once

#include <string>

#include "engine/local/graphics.h"
#include "io/world.h"

namespace om::scheduler {

// Asked before a model is loaded. On the io thread.
class GraphicsMemory {
 public:
  virtual ~GraphicsMemory() = default;
  // Bytes, of all cards with memory of their own together. Fails: not known now.
  virtual io::Task<Result<uint64_t>> left() = 0;
};

// Bytes that llama-server leaves free on each card unless told otherwise (--fit-target).
inline constexpr uint64_t kCardMargin = uint64_t{1} << 30;

// Memory of these cards that may be lent if `margin` stays free on each.
uint64_t memory_left(const std::vector<engine::GraphicsCard>& cards, uint64_t margin);

// Asks the program that lists this machine's cards.
class CardMemory final : public GraphicsMemory {
 public:
  CardMemory(io::World& world, std::string program, uint64_t margin)
      : world_(world), program_(std::move(program)), margin_(margin) {}
  io::Task<Result<uint64_t>> left() override;

 private:
  io::World& world_;
  const std::string program_;
  const uint64_t margin_;
};

}  // namespace om::scheduler
