#include "transfer/bandwidth.h"

namespace om::transfer {

io::Task<Result<void>> Bandwidth::take(uint64_t bytes, io::Call call) {
  if (rate_ == 0) co_return Result<void>{};
  const io::TimePoint now = clock_.now();
  free_at_ = std::max(free_at_, now - kBurst);
  free_at_ += std::chrono::duration_cast<io::Duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
  if (free_at_ <= now) co_return Result<void>{};
  co_return co_await clock_.sleep_until(free_at_, std::move(call));
}

}  // namespace om::transfer
