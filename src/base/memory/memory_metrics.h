// The memory governor's metrics; those of the pools are in pool.h.
#pragma once

#include "base/metrics.h"

namespace om {

inline Gauge memory_level{"ollamamax_memory_level",
                          "What the memory governor does: 0 nothing, 1 trims, 2 sheds load."};
inline Counter memory_trims{"ollamamax_memory_trims_total",
                            "How often the memory governor trimmed the pools."};
inline Counter memory_trimmed_bytes{"ollamamax_memory_trimmed_bytes_total",
                                    "Bytes the pools gave back when trimmed."};

}  // namespace om
