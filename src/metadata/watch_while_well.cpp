#include "metadata/watch_while_well.h"

namespace om::metadata {

io::Task<Result<std::optional<std::vector<Event>>>> next_while_well(
    io::Clock& clock, const Metadata& engine, Watch& watch, io::TimePoint& well, io::Call call) {
  while (true) {
    const io::Call look = clock.call_within(kWellLook, call);
    auto events = co_await watch.next(look);
    const bool is_quiet =
        !events && events.error().code == Errc::deadline_exceeded && clock.now() < call.deadline;
    if (!events && !is_quiet) co_return fail(std::move(events).error());
    if (events || engine.healthy()) well = clock.now();
    if (events) co_return std::move(*events);
    if (clock.now() - well >= kUnwellMax) co_return std::nullopt;
  }
}

}  // namespace om::metadata
