// What a template is known to make of requests but for their messages. Private to the llama_*.cpp
// files of this room.
#pragma once

#include <list>
#include <mutex>
#include <optional>

#include "base/digest.h"
#include "prompt/llama_chat.h"

namespace om::prompt::llama {

struct Known {
  Applied applied;                // But for the prompt.
  std::string generation_prompt;  // Prompts end with it.
};

// Of one template; the least recently used go. From any thread.
class KnownAnswers {
 public:
  static constexpr size_t kEntriesMax = 8;
  static constexpr size_t kGrammarBytesMax = 128 * 1024;  // Of one that is kept.

  // Names all of a request that matters but for what its messages say.
  static Digest key_of(const ChatInput& input);

  std::optional<Known> find(const Digest& key);
  void put(const Digest& key, Known known);

 private:
  std::mutex mutex_;
  std::list<std::pair<Digest, Known>> entries_;  // The latest first.
};

}  // namespace om::prompt::llama
