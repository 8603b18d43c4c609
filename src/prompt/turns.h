// The shapes of a conversation that jinja templates take. Private to this room.
#pragma once

#include <vector>

#include "prompt/render.h"

namespace om::prompt {

// The last message is one of the assistant that the answer goes on from.
bool continues(const ChatInput& input);

bool is_settled(const ChatInput& input);
// What was `said` is the end of the last message. An answer at the end that says nothing is gone:
// the model begins it. The system messages at the beginning are one, as most templates know of no
// second one.
ChatInput settled(ChatInput input);

// Turns that follow each other are one turn, and system messages behind the first are said by the
// user. Images are markers in the texts then. Of settled messages.
std::vector<model::Message> in_turns(const std::vector<model::Message>& messages,
                                     const std::string& media_marker);

// The same, where a user may not speak behind a tool: the tool's result tells what the user said.
std::vector<model::Message> with_users_in_results(std::vector<model::Message> turns);

// Calls and their results named as Mistral's templates want it, by nine letters and digits. Ids of
// that form stay, others become numbers in their order, so that a conversation that grows keeps
// its beginning; a result without an id is that of the first call that has none yet.
std::vector<model::Message> with_ids_of_nine(std::vector<model::Message> messages);

// Calls of one turn as turns of their own, each before its result, for templates that know one call
// in a turn. A result is that of the call whose id it has; one with the id of none, or without,
// that of the first call that has none yet.
std::vector<model::Message> with_single_calls(std::vector<model::Message> messages);

}  // namespace om::prompt
