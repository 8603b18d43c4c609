// What the http room counts.
#pragma once

#include <array>

#include "base/metrics.h"

namespace om::http::metrics {

inline CounterFamily responses{"ollamamax_http_responses_total",
                               "Responses begun by the server, by class of status.",
                               {"class"}};
inline Gauge connections{"ollamamax_http_connections", "Open connections from clients."};
inline Counter accepted{"ollamamax_http_connections_accepted_total",
                        "Connections taken from clients."};
inline Counter received_bytes{"ollamamax_http_received_bytes_total",
                              "Bytes received from clients, heads and framing included."};
inline Counter sent_bytes{"ollamamax_http_sent_bytes_total",
                          "Bytes sent to clients, heads and framing included."};
inline Counter cancelled{"ollamamax_http_requests_cancelled_total",
                         "Requests whose client left before the answer was whole."};
inline Counter refused{"ollamamax_http_requests_refused_total",
                       "Requests refused before a handler saw them: malformed, too large, late."};
inline Counter client_requests{"ollamamax_http_client_requests_total",
                               "Requests sent to runners, registries and nodes."};
inline Counter client_connects{"ollamamax_http_client_connects_total",
                               "Connections opened by the client; the rest were used again."};
inline Counter client_retries{"ollamamax_http_client_retries_total",
                              "Requests sent again because an idle connection was dead."};

inline void count_response(int status) {
  // The family's lock is taken once a class, not once a response.
  static const std::array<CounterValue*, 5> kClasses{
      &responses.with({"1xx"}), &responses.with({"2xx"}), &responses.with({"3xx"}),
      &responses.with({"4xx"}), &responses.with({"5xx"})};
  if (status >= 100 && status < 600) kClasses[static_cast<size_t>(status / 100 - 1)]->add();
}

}  // namespace om::http::metrics
