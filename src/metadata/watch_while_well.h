// A watch of an engine that may have lost its majority, while its other copies go on without it.
#pragma once

#include <optional>
#include <vector>

#include "io/clock.h"
#include "metadata/metadata.h"

namespace om::metadata {

// kUnwellMax: how long an engine may be unwell before its watch is left; elections end sooner.
// kWellLook: how often the engine is looked at.
inline constexpr std::chrono::seconds kUnwellMax{3}, kWellLook{1};

// The next events of `watch`. nullopt: its engine has been unwell for kUnwellMax. `well`: when it
// was last well; updated here, kept by the caller from call to call. Errors as Watch::next()'s. On
// the io thread; the references outlive the call.
io::Task<Result<std::optional<std::vector<Event>>>> next_while_well(
    io::Clock& clock, const Metadata& engine, Watch& watch, io::TimePoint& well, io::Call call);

}  // namespace om::metadata
