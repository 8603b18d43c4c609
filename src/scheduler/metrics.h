// The metrics of this room.
#pragma once

#include "base/metrics.h"

namespace om::scheduler {

inline HistogramFamily queue_seconds{
    "ollamamax_queue_wait_seconds",
    "Time requests waited for a slot, loads included, by priority: interactive, batch.",
    {"priority"},
    kSecondsBuckets};
inline Gauge queue_length{"ollamamax_queue_length", "Requests that wait for a slot."};
inline CounterFamily queue_refused{
    "ollamamax_queue_refused_total",
    "Requests refused by reason: full (the queue), displaced (by a key that has fewer places), "
    "patience (they did not want to wait longer).",
    {"reason"}};
inline Counter quarantine_refused{"ollamamax_quarantine_refused_total",
                                  "Requests refused because they killed two runners."};
inline Counter passed_on{"ollamamax_requests_passed_on_total",
                         "Times a node refused or was lost while it was asked for a slot, and the "
                         "next one was asked."};
inline Counter lost_hits{"ollamamax_prefix_hits_lost_total",
                         "Requests that came to a node where their prompt is not warm because the "
                         "one where it is was too busy."};
inline Counter read_ahead_tokens{
    "ollamamax_read_ahead_tokens_total",
    "Prompt tokens that standby runners evaluated ahead, for answers of other nodes."};
inline CounterFamily replica_changes{
    "ollamamax_runner_replicas_total",
    "Changes of the number of runners by load: grown, shrunk, failed, staged (files first).",
    {"change"}};
inline Gauge requests_running{"ollamamax_requests_running", "Requests that hold a slot."};
inline Gauge models_loaded{"ollamamax_models_loaded", "Runners, loading ones included."};
inline Gauge models_memory{"ollamamax_models_memory_bytes",
                           "Memory that models may take now, on graphics cards, too."};
inline Gauge graphics_cards{"ollamamax_graphics_cards",
                            "Graphics cards with memory of their own, as last looked for: at the "
                            "start and before models are loaded."};
inline CounterFamily loads{"ollamamax_model_loads_total",
                           "Loads of models by how they ended: ok, failed, cancelled.",
                           {"result"}};
inline CounterFamily unloads{"ollamamax_model_unloads_total",
                             "Ends of runners by reason: expired, evicted, replaced, asked, died, "
                             "unhealthy, stopped.",
                             {"reason"}};
inline Histogram load_seconds{"ollamamax_model_load_seconds", "Time a successful load took.",
                              kSecondsBuckets};

}  // namespace om::scheduler
