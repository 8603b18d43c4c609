// What is known of how fast a foreign server answers, so that its silence tells something.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/lru_cache.h"
#include "engine/local/prompt_pace.h"
#include "engine/local/stall_limit.h"

namespace om::engine {

// For one model there. On the io thread.
struct BackendPace {
  // A wrong guess costs more than at our own runners: few servers go on from a given text.
  static constexpr std::chrono::seconds kNextMin{30}, kNextUnknown{120};
  static constexpr std::chrono::minutes kFirstMin{2};       // It may be busy with others' requests.
  static constexpr std::chrono::minutes kFirstUnknown{10};  // It may have to load the model.

  StallLimit outputs{kNextMin, kNextUnknown};
  PromptPace prompts;
  // Many answer one after the other, and say nothing to those that wait. What it is busy with is
  // known as far as it is ours: the tokens of the prompts that it has not begun to answer, and when
  // it brought something for any of them.
  std::multiset<int64_t> waiting;
  io::TimePoint last_output{};
};

// What a request has the server do before its first output.
struct UpstreamWork {
  std::shared_ptr<BackendPace> pace;  // Null: nothing is to be learned.
  // Of a prompt that can be judged by its size: text, for a server that never has to load a model
  // and tells what it had cached. 0: none of these.
  int64_t text_bytes = 0;
};

class BackendPaces {
 public:
  static constexpr size_t kModelsMax = 64;

  std::shared_ptr<BackendPace> of(const std::string& model) {
    if (const auto* known = paces_.get(model)) return *known;
    auto pace = std::make_shared<BackendPace>();
    (void)paces_.put(model, pace, sizeof(BackendPace));
    return pace;
  }

 private:
  LruCache<std::string, std::shared_ptr<BackendPace>> paces_{
      "backend_paces", {.entries_max = kModelsMax, .bytes_max = kModelsMax * sizeof(BackendPace)}};
};

}  // namespace om::engine
