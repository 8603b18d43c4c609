#include "scheduler/graphics_memory.h"

namespace om::scheduler {

uint64_t memory_left(const std::vector<engine::GraphicsCard>& cards, uint64_t margin) {
  uint64_t left = 0;
  for (const engine::GraphicsCard& card : cards) {
    if (card.integrated) continue;
    left += card.free_bytes - std::min(card.free_bytes, margin);
  }
  return left;
}

io::Task<Result<uint64_t>> CardMemory::left() {
  CO_TRY(const auto cards, co_await engine::read_cards(world_, program_));
  co_return memory_left(cards, margin_);
}

}  // namespace om::scheduler
