// How long a foreign server may bring nothing for a request before it is given up.
#pragma once

#include <memory>
#include <optional>

#include "engine/external/backend_pace.h"
#include "io/cancel.h"
#include "io/clock.h"
#include "model/chat.h"

namespace om::engine {

// How a server fares at the checks of it; shared with its answers, which may outlive the Backend.
struct BackendHealth {
  int failed_checks = 0;  // In a row.
  bool lost() const { return failed_checks >= 2; }
};

// For one request, on the io thread. Only time in which somebody waits counts, and only what
// brings the answer further ends a silence: not its head, not what keeps the connection open. Until
// it begins, what brings others of ours further does, too, up to BackendPace::kFirstUnknown.
class SilenceLimit {
 public:
  static constexpr std::chrono::seconds kLostMax{10};  // Nor does it answer our checks.

  SilenceLimit(io::Clock& clock, const io::CancelToken& caller,
               std::shared_ptr<const BackendHealth> health, UpstreamWork work = {});
  ~SilenceLimit();
  SilenceLimit(const SilenceLimit&) = delete;
  SilenceLimit& operator=(const SilenceLimit&) = delete;

  io::CancelToken token() const { return cancel_.token(); }  // The caller's leaving cancels it too.
  bool passed() const { return passed_; }
  io::Duration limit() const;

  void begin_wait();
  void end_wait() { waiting_ = false; }
  void heard(bool brought_output);
  void note_end(const model::Usage& usage);  // As the server told it.

 private:
  void look();
  void arm();
  void join_waiting();
  void leave_waiting();

  io::Clock& clock_;
  std::shared_ptr<const BackendHealth> health_;
  UpstreamWork work_;
  io::CancelSource cancel_;
  io::OnCancel on_caller_;
  io::Clock::TimerId timer_ = 0;
  io::TimePoint looked_{}, begun_at_, last_event_{};
  std::optional<io::TimePoint> first_waited_;  // Since the last event.
  io::Duration silence_{}, first_output_{};
  io::Duration waited_{};  // For its first output.
  // Its prompt among those of the pace; none: it cannot be judged by its size, or it has begun.
  std::optional<std::multiset<int64_t>::iterator> place_;
  bool waiting_ = false, begun_ = false, passed_ = false;
  bool was_alone_ = false;  // No other request was answered before it began.
};

}  // namespace om::engine
