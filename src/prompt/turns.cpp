#include "prompt/turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

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

// The results of one turn, by the call that each is of.
class Results {
 public:
  Results(std::vector<model::Message> results, const std::vector<model::ToolCall>& calls)
      : results_(std::move(results)), taken_(results_.size()) {
    for (const model::ToolCall& call : calls) of_call_[call.id];
    for (size_t i = 0; i < results_.size(); ++i) {
      const auto called = of_call_.find(results_[i].tool_call_id);
      const bool is_of_one = called != of_call_.end() && !called->first.empty();
      (is_of_one ? called->second : of_none_).push_back(i);
    }
  }

  // The first one with the id of `call`, else with that of no call; nothing where there is none.
  std::optional<model::Message> take(const model::ToolCall& call) {
    std::deque<size_t>& own = of_call_[call.id];
    std::deque<size_t>& left = own.empty() ? of_none_ : own;
    if (left.empty()) return std::nullopt;
    const size_t at = left.front();
    left.pop_front();
    taken_[at] = true;
    return std::move(results_[at]);
  }

  void move_rest_to(std::vector<model::Message>& out) {
    for (size_t i = 0; i < results_.size(); ++i) {
      if (!taken_[i]) out.push_back(std::move(results_[i]));
    }
  }

 private:
  std::vector<model::Message> results_;
  std::vector<bool> taken_;
  std::map<std::string, std::deque<size_t>> of_call_;
  std::deque<size_t> of_none_;
};

constexpr size_t kIdNumbers = 100'000;

bool is_of_nine(std::string_view id) {
  return id.size() == 9 && std::ranges::all_of(id, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
         });
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

std::vector<model::Message> with_ids_of_nine(std::vector<model::Message> messages) {
  size_t count = 0;
  std::map<std::string, std::string> given;               // By the id that was sent.
  std::deque<std::pair<size_t, std::string>> unanswered;  // Numbers and ids; some are answered.
  std::map<std::string, size_t> answered;  // By id: how many calls there were at the last answer.
  const auto front_is_answered = [&] {
    const auto last = answered.find(unanswered.front().second);
    return last != answered.end() && unanswered.front().first <= last->second;
  };
  for (auto& message : messages) {
    for (auto& call : message.tool_calls) {
      count++;
      if (!is_of_nine(call.id)) {
        std::string id = fmt::format("call{:05}", count % kIdNumbers);
        if (!call.id.empty()) given[call.id] = id;
        call.id = std::move(id);
      }
      unanswered.emplace_back(count, call.id);
    }
    if (message.role != "tool") continue;
    std::string& id = message.tool_call_id;
    if (const auto known = given.find(id); known != given.end()) id = known->second;
    while (!unanswered.empty() && front_is_answered()) unanswered.pop_front();
    if (!is_of_nine(id)) id = unanswered.empty() ? "call00000" : unanswered.front().second;
    answered[id] = count;
  }
  return messages;
}

std::vector<model::Message> with_single_calls(std::vector<model::Message> messages) {
  std::vector<model::Message> kept;
  for (size_t i = 0; i < messages.size(); ++i) {
    model::Message& turn = messages[i];
    if (turn.tool_calls.size() < 2) {
      kept.push_back(std::move(turn));
      continue;
    }
    std::vector<model::Message> told;
    while (i + 1 < messages.size() && messages[i + 1].role == "tool") {
      told.push_back(std::move(messages[++i]));
    }
    const std::vector<model::ToolCall> calls = std::exchange(turn.tool_calls, {});
    Results results(std::move(told), calls);
    for (const model::ToolCall& call : calls) {
      model::Message single = std::exchange(turn, {.role = turn.role});
      single.tool_calls = {call};
      kept.push_back(std::move(single));
      if (auto result = results.take(call)) kept.push_back(std::move(*result));
    }
    results.move_rest_to(kept);
  }
  return kept;
}

}  // namespace om::prompt
