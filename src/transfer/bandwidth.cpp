#include "transfer/bandwidth.h"

namespace om::transfer {

io::Task<Result<void>> Bandwidth::take(uint64_t bytes, io::Call call) {
  if (rate_ == 0) co_return Result<void>{};
  const io::TimePoint now = clock_.now();
  const auto takes = std::chrono::duration_cast<io::Duration>(
      std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
  free_at_ = std::max(free_at_, now - kBurst) + takes;
  if (free_at_ <= now) co_return Result<void>{};
  auto waited = co_await clock_.sleep_until(free_at_, std::move(call));
  if (!waited) free_at_ -= takes;  // They do not pass: whoever comes next need not wait for them.
  co_return waited;
}

}  // namespace om::transfer
