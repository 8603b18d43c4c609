// Items of a conversation that only OpenAI's own service makes, and that stand in the history of
// every request to come: told to a model here as far as it can read them. Pure.
// Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
#pragma once

#include <string_view>
#include <vector>

#include "api/openai_fields.h"
#include "model/chat.h"

namespace om::api {

// Adds what such an item says: what was run, and what came of it, as a call and its result; a note
// where something cannot be read here; nothing for what has no words. False: no item of this type
// is known, and it has members that may matter.
Result<bool> add_past_item(const Fields& item, std::string_view type,
                           std::vector<model::Message>& messages);

}  // namespace om::api
