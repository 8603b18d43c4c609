// How long a foreign server may bring nothing for a request before it is given up.
#pragma once

#include <memory>

#include "io/cancel.h"
#include "io/clock.h"

namespace om::engine {

// How a server fares at the checks of it; shared with its answers, which may outlive the Backend.
struct BackendHealth {
  int failed_checks = 0;  // In a row.
  bool lost() const { return failed_checks >= 2; }
};

// For one request, on the io thread. Only time in which somebody waits counts, and only what
// brings the answer further ends a silence: not its head, not what keeps the connection open.
class SilenceLimit {
 public:
  static constexpr std::chrono::minutes kFirstMax{10};  // It may have to load the model first.
  static constexpr std::chrono::seconds kNextMax{120};
  static constexpr std::chrono::seconds kLostMax{10};  // Nor does it answer our checks.

  SilenceLimit(io::Clock& clock, const io::CancelToken& caller,
               std::shared_ptr<const BackendHealth> health);
  ~SilenceLimit();
  SilenceLimit(const SilenceLimit&) = delete;
  SilenceLimit& operator=(const SilenceLimit&) = delete;

  io::CancelToken token() const { return cancel_.token(); }  // The caller's leaving cancels it too.
  bool passed() const { return passed_; }

  void begin_wait() { waiting_ = true; }
  void end_wait() { waiting_ = false; }
  void heard(bool brought_output);

 private:
  void look();
  void arm();

  io::Clock& clock_;
  std::shared_ptr<const BackendHealth> health_;
  io::CancelSource cancel_;
  io::OnCancel on_caller_;
  io::Clock::TimerId timer_ = 0;
  io::TimePoint looked_{};
  io::Duration silence_{};
  bool waiting_ = false, begun_ = false, passed_ = false;
};

}  // namespace om::engine
