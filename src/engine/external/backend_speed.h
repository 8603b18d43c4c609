// How fast a foreign server answers, as its answers showed.
#pragma once

#include <memory>
#include <string>

#include "base/measured_rate.h"
#include "io/clock.h"

namespace om::engine {

class Backend;

// Speed of one model on one server, as if a request ran alone: the time spent on our earlier
// requests is subtracted. A plain value.
class BackendSpeed {
 public:
  // The time of a shorter prompt or answer is mostly the network's: it is not counted in a rate.
  static constexpr double kPromptBytesMin = 512, kOutputTokensMin = 8;
  // How much each further request slows the others, as in our own runners.
  static constexpr double kBatchSlowdown = 0.25;

  // `ahead`: how many of our requests had no first token yet when this one came.
  void add_first_token(size_t prompt_bytes, int ahead, io::Duration took);
  // `beside`: how many others of our requests ran there at its end.
  void add_output(int64_t tokens, int beside, io::Duration took);

  bool measured() const { return prefill_ms(0) > 0 && output_rate() > 0; }
  double prefill_ms(size_t prompt_bytes) const;  // To its first token. 0: not measured.
  double output_rate() const { return output_.per_second(); }  // Tokens a second, likewise.

 private:
  MeasuredRate prompt_{kPromptBytesMin}, output_{kOutputTokensMin};
  double short_ms_ = 0;  // Of short prompts, on average.
};

// One request at a backend. Counts there, also as the breaker's trial, until it is destroyed, and
// tells the backend how fast it went. On the io thread.
class BackendRequest {
 public:
  BackendRequest(io::Clock& clock, std::shared_ptr<Backend> backend, std::string model,
                 size_t prompt_bytes);
  ~BackendRequest();
  BackendRequest(const BackendRequest&) = delete;
  BackendRequest& operator=(const BackendRequest&) = delete;

  Backend& backend() { return *backend_; }
  void failed(const Error& error);  // By the backend's fault.
  void note_output();               // Part of the answer came.
  void note_end(int64_t output_tokens);

 private:
  io::Clock& clock_;
  std::shared_ptr<Backend> backend_;
  std::string model_;
  size_t prompt_bytes_;
  int ahead_;
  io::TimePoint asked_, first_{};
  bool waits_ = true, is_trial_;
};

}  // namespace om::engine
