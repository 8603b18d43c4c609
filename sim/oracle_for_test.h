// What must hold for every answer a client of the simulated node saw.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/task.h"

namespace om::sim {

enum class Route { generate, chat, openai_chat };

// One request, and what became of it as its client saw it.
struct Exchange {
  // Asked.
  int client = 0, number = 0;
  Route route = Route::generate;
  bool stream = true;
  std::string prompt;  // As the runner gets it.
  size_t predict = 0;
  size_t leaves_after = 0;  // Bytes of body after which the client leaves. 0: it stays.
  bool dawdles = false;     // It may read so slowly that the server gives it up.
  size_t gateway = 0;       // Of those the client knows.
  int model = 0;
  io::TimePoint begun{}, ended{};
  io::Duration silence_max{};  // The longest time between two pieces of its text.

  // Seen.
  int status = 0;          // 0: no head came.
  std::string served_by;   // As the head tells it.
  std::string text;        // All tokens, in order.
  int ends = 0;            // Done lines, or finish reasons.
  bool after_end = false;  // Something came after the end.
  std::string reason;
  int64_t prompt_count = -1, output_count = -1;  // As the end tells them.
  std::string error;                             // As the server told it.
  std::string broken;                            // The connection failed.
  std::string nonsense;                          // What is no element of this stream.
  bool left = false, timed_out = false;

  bool is_done() const { return ends == 1 && error.empty() && broken.empty() && !left; }
};

struct Circumstances {
  bool resets = false;  // Connections may break by themselves.
  bool calm = false;    // Nothing breaks at all.
  bool may_lack_models = false;
  bool may_not_count_prompt = false;  // Who counts at its end only, and broke off before.
};

// Complaints, each with the request's number; empty: the exchange was right.
std::vector<std::string> judge(const Exchange& exchange, const Circumstances& circumstances);

}  // namespace om::sim
