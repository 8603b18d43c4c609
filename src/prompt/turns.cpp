#include "prompt/turns.h"

#include <algorithm>

#include "prompt/media.h"

namespace om::prompt {
namespace {

bool is_system(const model::Message& message) { return message.role == "system"; }

bool says_nothing(const model::Message& message) {
  return message.role == "assistant" && message.content.empty() && message.thinking.empty() &&
         message.images.empty() && message.tool_calls.empty();
}

// Each image stays where it was among the texts.
void put_markers(model::Message& message, const std::string& media_marker) {
  message.content = with_media_markers(message, media_marker);
  message.images.clear();
}

void append(model::Message& turn, const model::Message& more) {
  if (!turn.content.empty() && !more.content.empty()) turn.content += "\n\n";
  turn.content += more.content;
  turn.thinking += more.thinking;
}

size_t systems_at_front(const std::vector<model::Message>& messages) {
  return static_cast<size_t>(std::ranges::find_if_not(messages, is_system) - messages.begin());
}

}  // namespace

bool continues(const ChatInput& input) {
  return !input.messages.empty() && input.messages.back().role == "assistant" &&
         input.messages.back().tool_calls.empty();
}

bool is_settled(const ChatInput& input) {
  return input.said.empty() && (input.messages.empty() || !says_nothing(input.messages.back())) &&
         systems_at_front(input.messages) <= 1;
}

ChatInput settled(ChatInput input) {
  auto& messages = input.messages;
  while (!messages.empty() && says_nothing(messages.back())) messages.pop_back();
  if (const size_t count = systems_at_front(messages); count > 1) {
    put_markers(messages[0], input.media_marker);
    for (size_t i = 1; i < count; ++i) {
      put_markers(messages[i], input.media_marker);
      append(messages[0], messages[i]);
    }
    messages.erase(messages.begin() + 1, messages.begin() + static_cast<ptrdiff_t>(count));
  }
  if (input.said.empty()) return input;
  if (!continues(input)) messages.push_back({.role = "assistant"});
  messages.back().content += std::exchange(input.said, {});
  return input;
}

std::vector<model::Message> in_turns(const std::vector<model::Message>& messages,
                                     const std::string& media_marker) {
  std::vector<model::Message> turns;
  for (const auto& message : messages) {
    model::Message turn = message;
    put_markers(turn, media_marker);
    if (is_system(turn) && !turns.empty()) turn.role = "user";
    const bool joins = !turns.empty() && turns.back().role == turn.role && turn.role != "tool" &&
                       turn.tool_calls.empty() && turns.back().tool_calls.empty();
    if (joins) {
      append(turns.back(), turn);
    } else {
      turns.push_back(std::move(turn));
    }
  }
  return turns;
}

std::vector<model::Message> with_users_in_results(std::vector<model::Message> turns) {
  std::vector<model::Message> kept;
  for (auto& turn : turns) {
    if (turn.role == "user" && !kept.empty() && kept.back().role == "tool") {
      append(kept.back(), turn);
    } else {
      kept.push_back(std::move(turn));
    }
  }
  return kept;
}

}  // namespace om::prompt
