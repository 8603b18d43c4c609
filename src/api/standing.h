// How a request stands in the queue, from its headers:
//
//   Authorization: Bearer KEY, or X-Api-Key: KEY   turns are shared between keys, not requests
//   X-Priority: interactive | batch                batch lets others pass for half a minute
//   X-Queue-Timeout: 20s                           answered 503 when its turn has not come by then
#pragma once

#include <string>
#include <string_view>

#include "api/router.h"
#include "base/result.h"
#include "model/chat.h"

namespace om::api {

struct Settings;

// The key in a request's headers; empty: none.
std::string_view credential_of(const http::Headers& headers);

// The name of a key in settings and queues: tells keys apart without revealing them.
std::string key_name(std::string_view key);

// invalid_argument: not a priority, or not a time.
Result<model::Standing> read_standing(const http::Headers& headers, const Settings& settings);

// Sets in `common` what the HTTP request tells: its id, its standing, and the key under which its
// answer may be picked up. Errors as read_standing().
Result<void> note_caller(model::RequestCommon& common, const Context& context,
                         const Settings& settings);

}  // namespace om::api
