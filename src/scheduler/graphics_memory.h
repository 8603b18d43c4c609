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

// How many of them have memory of their own.
size_t own_cards(const std::vector<engine::GraphicsCard>& cards);

// Memory of these cards that may be lent if `margin` stays free on each.
uint64_t memory_left(const std::vector<engine::GraphicsCard>& cards, uint64_t margin);

// Asks the program that lists this machine's cards, and tells in the log when some are gone.
class CardMemory final : public GraphicsMemory {
 public:
  // `cards`: as many with memory of their own are there now.
  CardMemory(io::World& world, std::string program, uint64_t margin, size_t cards);
  io::Task<Result<uint64_t>> left() override;

 private:
  io::World& world_;
  const std::string program_;
  const uint64_t margin_;
  size_t cards_;  // As last told.
};

}  // namespace om::scheduler
