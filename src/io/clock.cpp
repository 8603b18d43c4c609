#include "io/clock.h"

#include "base/check.h"
#include "io/event.h"

namespace om::io {

Task<Result<void>> Clock::sleep_for(Duration duration, Call call) {
  return sleep_until(now() + duration, std::move(call));
}

Task<Result<void>> Clock::sleep_until(TimePoint when, Call call) {
  const bool call_ends_first = call.deadline < when;
  Event never(*this);
  Call wait{call_ends_first ? call.deadline : when, call.cancel};
  auto result = co_await never.wait(std::move(wait));
  CHECK(!result, "nobody notifies this event");
  if (result.error().code == Errc::deadline_exceeded && !call_ends_first) co_return Result<void>{};
  co_return result;
}

}  // namespace om::io
