#include "prompt/llama_known.h"

#include <algorithm>

namespace om::prompt::llama {

Digest KnownAnswers::key_of(const ChatInput& input) {
  Hasher hasher;
  const auto add = [&hasher](std::string_view text) {
    hasher.update(std::to_string(text.size()));
    hasher.update(":");
    hasher.update(text);
  };
  for (const auto& tool : input.tools) add(boost::json::serialize(tool));
  add(input.tool_choice);
  add(fmt::format("{} {} {} {}", input.parallel_tool_calls, input.think.is_set, input.think.enabled,
                  static_cast<int>(input.format.kind)));
  add(input.think.level);
  add(input.format.schema);
  // Some templates open the answer in another way after a tool's result.
  add(input.messages.empty() ? "" : input.messages.back().role);
  return hasher.finish();
}

std::optional<Known> KnownAnswers::find(const Digest& key) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::ranges::find(entries_, key, [](const auto& entry) { return entry.first; });
  if (found == entries_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found);
  return found->second;
}

void KnownAnswers::put(const Digest& key, Known known) {
  if (known.applied.constraint.grammar.size() > kGrammarBytesMax) return;
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&key](const auto& entry) { return entry.first == key; });
  entries_.emplace_front(key, std::move(known));
  if (entries_.size() > kEntriesMax) entries_.pop_back();
}

}  // namespace om::prompt::llama
