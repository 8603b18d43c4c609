#include "scheduler/graphics_memory.h"

namespace om::scheduler {
namespace {

constexpr std::chrono::seconds kAskMax{10};

}  // namespace

uint64_t memory_left(const std::vector<engine::GraphicsCard>& cards, uint64_t reserve) {
  uint64_t left = 0;
  for (const engine::GraphicsCard& card : cards) {
    if (card.integrated) continue;
    left += card.free_bytes - std::min(card.free_bytes, kCardMargin + reserve);
  }
  return left;
}

io::Task<Result<uint64_t>> CardMemory::left() {
  CO_TRY(const auto cards,
         co_await engine::read_cards(world_, program_, world_.clock.call_within(kAskMax)));
  co_return memory_left(cards, reserve_);
}

}  // namespace om::scheduler
