#include "scheduler/graphics_memory.h"

#include <algorithm>

#include "base/log.h"
#include "scheduler/metrics.h"

namespace om::scheduler {

size_t own_cards(const std::vector<engine::GraphicsCard>& cards) {
  return static_cast<size_t>(std::ranges::count(cards, false, &engine::GraphicsCard::integrated));
}

uint64_t memory_left(const std::vector<engine::GraphicsCard>& cards, uint64_t margin) {
  uint64_t left = 0;
  for (const engine::GraphicsCard& card : cards) {
    if (card.integrated) continue;
    left += card.free_bytes - std::min(card.free_bytes, margin);
  }
  return left;
}

CardMemory::CardMemory(io::World& world, std::string program, uint64_t margin, size_t cards)
    : world_(world), program_(std::move(program)), margin_(margin), cards_(cards) {
  graphics_cards.set(static_cast<double>(cards));
}

io::Task<Result<uint64_t>> CardMemory::left() {
  CO_TRY(const auto cards, co_await engine::read_cards(world_, program_));
  const size_t count = own_cards(cards);
  if (count < cards_) {  // A driver may lose them, as after suspend; runners say nothing of it.
    log_warn("graphics cards are gone, models go to main memory or to those that are left",
             field("before", cards_), field("now", count));
  }
  cards_ = count;
  graphics_cards.set(static_cast<double>(count));
  co_return memory_left(cards, margin_);
}

}  // namespace om::scheduler
