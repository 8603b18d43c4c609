// Which share of a runner's time a prompt gets while others are evaluated beside it. Times of
// prompts are told as if each had run alone, so that a rate means the same whoever runs there.
//
// Processor sharing: while n prompts are evaluated, each gets 1/n, and answers beside them a small
// part of their speed. A runner really takes one prompt before the other, which comes to the same
// over all of them. A plain value on the io thread.
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
  // Of the time between two marks of one prompt that it got: above 0, at most 1.
  static double of_prompt(Mark begin, Mark end) {
    const double took = seconds(begin, end);
    return took > 0 ? std::clamp((end.own - begin.own) / took, kLeast, 1.0) : 1;
  }
  // Of the time between two marks of an answer that prompts beside it left to it.
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
