// How long a foreign server may bring nothing for a request before it is given up.
#pragma once

#include <memory>
#include <optional>

#include "engine/external/backend_pace.h"
#include "io/cancel.h"
#include "io/clock.h"
#include "model/chat.h"

namespace om::engine {

// Results of a server's checks; shared with its answers, which may outlive the Backend.
struct BackendHealth {
  int failed_checks = 0;  // In a row.
  bool lost() const { return failed_checks >= 2; }
};

// For one request, on the io thread. Only time in which a caller waits counts. Only a part of the
// answer ends a silence, not its head, nor bytes that keep the connection open. Until the answer
// begins, output for others of our requests ends it too, up to BackendPace::kFirstUnknown.
class SilenceLimit {
 public:
  static constexpr std::chrono::seconds kLostMax{10};  // If the server fails our checks as well.

  SilenceLimit(io::Clock& clock, const io::CancelToken& caller,
               std::shared_ptr<const BackendHealth> health, UpstreamWork work = {});
  ~SilenceLimit();
  SilenceLimit(const SilenceLimit&) = delete;
  SilenceLimit& operator=(const SilenceLimit&) = delete;

  io::CancelToken token() const { return cancel_.token(); }  // Also cancelled by the caller.
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
  io::Duration waited_{};  // For the first output.
  // The prompt's place in BackendPace::waiting; nullopt: not judged by size, or it has begun.
  std::optional<std::multiset<int64_t>::iterator> place_;
  bool waiting_ = false, begun_ = false, passed_ = false;
  bool was_alone_ = false;  // No other request got output before this one's began.
};

}  // namespace om::engine
