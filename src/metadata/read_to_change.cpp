#include "metadata/read_to_change.h"

namespace om::metadata {

io::Task<Result<std::optional<Entry>>> read_to_change(io::Clock& clock, Metadata& metadata,
                                                      std::string key, io::Call call) {
  constexpr std::chrono::milliseconds kElectionMax{3500}, kAgain{200};
  const io::TimePoint until = std::min(call.deadline, clock.now() + kElectionMax);
  while (true) {
    auto entry = co_await metadata.get(key, call);
    const bool may_pass = !entry && entry.error().code == Errc::not_leader;
    if (!may_pass || clock.now() + kAgain >= until) co_return entry;
    CO_TRY_VOID(co_await clock.sleep_for(kAgain, call));
  }
}

}  // namespace om::metadata
