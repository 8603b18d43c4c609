// What the OpenAI and Anthropic handlers share: reading a body, heads of replies, events.
#pragma once

#include <string>
#include <string_view>

#include "api/api.h"
#include "api/joined_chunks.h"
#include "api/json_input.h"
#include "api/openai_reply.h"
#include "api/pulse.h"
#include "api/router.h"

namespace om::api {

inline constexpr std::string_view kEventStream = "text/event-stream";

// The body, which must be one JSON object.
io::Task<Result<boost::json::object>> read_object(const Dependencies& node, Context& context);

// A fresh id (`prefix` and 24 letters and digits), the model's name and the time.
ReplyHead make_head(const Dependencies& node, const Context& context, std::string_view prefix,
                    std::string model);

// Starts the event stream, if it has not begun, with what the answer tells in headers. Called when
// the first chunk is there: errors before it still have a status of their own. Null: it is not
// known yet who answers, and the stream begins to show that we are alive (pulse.h).
io::Task<Result<void>> start_events(Context& context, const generation::Answer* answer);

// Reads `answer` to its end and sends each chunk as the events that `write` makes of it. `opening`:
// number of events before the first chunk's that are the same for every answer
// (Context::check_seen()). Returns the usage that the last chunk tells.
io::Task<Result<model::Usage>> stream_answer(Context& context, Pulse& pulse,
                                             generation::Answer& answer, uint64_t opening,
                                             const WriteChunk& write);

// POST /v1/responses; with the OpenAI routes.
void register_responses(Router& router, const Dependencies& dependencies);

// GET /v1/models and /v1/models/*model, in OpenAI's shape or, for a request with an
// `anthropic-version` header, in Anthropic's.
io::Task<Result<void>> list_models(const Dependencies& node, Context& context);
io::Task<Result<void>> show_model(const Dependencies& node, Context& context);

}  // namespace om::api
