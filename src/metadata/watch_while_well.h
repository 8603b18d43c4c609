// A watch of an engine that may hear nothing any more: its other copies go on without it.
#pragma once

#include <optional>
#include <vector>

#include "io/clock.h"
#include "metadata/metadata.h"

namespace om::metadata {

// An engine that is unwell for so long is left: an election is over by then. How often that is
// looked at.
inline constexpr std::chrono::seconds kUnwellMax{3}, kWellLook{1};

// The next events of `watch`. Nothing: its engine has been unwell for kUnwellMax, since `well`,
// which is kept up here from one call to the next. Errors as Watch::next()'s. On the io thread; the
// references outlive the call.
io::Task<Result<std::optional<std::vector<Event>>>> next_while_well(
    io::Clock& clock, const Metadata& engine, Watch& watch, io::TimePoint& well, io::Call call);

}  // namespace om::metadata
