// Items of a conversation that only OpenAI's own service makes, but that later requests' histories
// contain: told to a model here as far as it can read them. Pure.
// Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
#pragma once

#include <string_view>
#include <vector>

#include "api/openai_fields.h"
#include "model/chat.h"

namespace om::api {

// Adds such an item: work and its outcome as a call and its result, a note for content that cannot
// be read here, nothing for items without words. False: the type is unknown, and the item has
// members that may matter.
Result<bool> add_past_item(const Fields& item, std::string_view type,
                           std::vector<model::Message>& messages);

}  // namespace om::api
