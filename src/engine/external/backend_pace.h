// How fast a foreign server answers, to judge its silence by.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/lru_cache.h"
#include "engine/local/prompt_pace.h"
#include "engine/local/stall_limit.h"

namespace om::engine {

// Of one model on one server. On the io thread.
struct BackendPace {
  // Longer than for our own runners: few servers go on from a given text, so a mistake costs more.
  static constexpr std::chrono::seconds kNextMin{30}, kNextUnknown{120};
  static constexpr std::chrono::minutes kFirstMin{2};       // It may be busy with others' requests.
  static constexpr std::chrono::minutes kFirstUnknown{10};  // It may have to load the model.

  StallLimit outputs{kNextMin, kNextUnknown};
  PromptPace prompts;
  // Many servers answer requests one after another, and are silent to those that wait. Of our own
  // requests we know: the tokens of prompts that are not answered yet, and when any output last
  // came.
  std::multiset<int64_t> waiting;
  io::TimePoint last_output{};
};

// What the server has to do for a request before its first output.
struct UpstreamWork {
  std::shared_ptr<BackendPace> pace;  // Null: nothing is to be learned.
  // Size of a prompt whose time can be estimated from it: only text, for a server that never loads
  // a model and tells what it had cached. 0: any other.
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
