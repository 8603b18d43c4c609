// Which share of a runner's time a prompt gets while others are evaluated beside it. With it the
// time of a prompt is told as if it had run alone: a rate then means the same on a busy runner.
//
// The model is processor sharing: while n prompts are evaluated, each gets 1/n, and answers beside
// them keep kBesidePrompts of their speed. A runner really takes the prompts one after another; the
// sum is the same. A plain value on the io thread.
#pragma once

#include <algorithm>
#include <chrono>

#include "io/task.h"

namespace om::scheduler {

class PromptShare {
 public:
  struct Mark {
    io::TimePoint at{};
    double own = 0;   // Seconds of one prompt's share until then.
    double busy = 0;  // Seconds in which there were prompts.
  };

  // One prompt more, one less.
  Mark begin(io::TimePoint now) {
    const Mark begun = mark(now);
    prompts_++;
    return begun;
  }
  Mark end(io::TimePoint now) {
    const Mark ended = mark(now);
    prompts_--;
    return ended;
  }
  Mark mark(io::TimePoint now) {
    pass(now);
    return {now, own_, busy_};
  }
  // Share of the time between two marks that this prompt got: above 0, at most 1.
  static double of_prompt(Mark begin, Mark end) {
    const double took = seconds(begin, end);
    return took > 0 ? std::clamp((end.own - begin.own) / took, kLeast, 1.0) : 1;
  }
  // Share of the time between two marks that prompts left to an answer beside them.
  static double of_answer(Mark begin, Mark end) {
    const double took = seconds(begin, end);
    if (took <= 0) return 1;
    return 1 - (1 - kBesidePrompts) * std::clamp((end.busy - begin.busy) / took, 0.0, 1.0);
  }

 private:
  static constexpr double kLeast = 1.0 / 1024;
  // What answers keep of their speed: a token for each batch of a prompt.
  static constexpr double kBesidePrompts = 0.2;

  static double seconds(Mark begin, Mark end) {
    return std::chrono::duration<double>(end.at - begin.at).count();
  }
  void pass(io::TimePoint now) {
    const double passed = std::max(0.0, std::chrono::duration<double>(now - at_).count());
    own_ += passed / std::max(1, prompts_);
    if (prompts_ > 0) busy_ += passed;
    at_ = now;
  }

  io::TimePoint at_{};
  double own_ = 0, busy_ = 0;
  int prompts_ = 0;
};

}  // namespace om::scheduler
