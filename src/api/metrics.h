// What the room `api` counts.
#pragma once

#include "base/metrics.h"

namespace om::api {

inline CounterFamily requests{
    "ollamamax_requests_total", "Requests by route and status.", {"route", "status"}};
inline HistogramFamily request_seconds{"ollamamax_request_seconds",
                                       "From a request's first byte to its answer's last.",
                                       {"route"},
                                       kSecondsBuckets};
inline HistogramFamily first_token_seconds{
    "ollamamax_first_token_seconds",
    "From a request's first byte to the first piece of its answer, of answers that are streamed: "
    "with the queue and the load.",
    {"route", "model"},
    kSecondsBuckets};
inline Gauge requests_running{"ollamamax_api_requests_running", "Requests being answered."};

}  // namespace om::api
