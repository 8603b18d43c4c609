// How fast a foreign server answers, as its answers showed.
#pragma once

#include <memory>
#include <string>

#include "base/measured_rate.h"
#include "io/clock.h"

namespace om::engine {

class Backend;

// For one model there. Of a request that is alone: what went before it there, as far as we sent
// it, is taken off. A plain value.
class BackendSpeed {
 public:
  // Of shorter prompts the time tells of the way there and back, and of no rate.
  static constexpr double kPromptBytesMin = 512, kOutputTokensMin = 8;
  // How much each further request slows the others down, as at our own runners.
  static constexpr double kBatchSlowdown = 0.25;

  // `ahead`: of our requests, those that had no first token yet when this one came.
  void add_first_token(size_t prompt_bytes, int ahead, io::Duration took);
  // `beside`: of our requests, the others that ran there in the end.
  void add_output(int64_t tokens, int beside, io::Duration took);

  bool measured() const { return prefill_ms(0) > 0 && output_rate() > 0; }
  double prefill_ms(size_t prompt_bytes) const;  // To its first token. 0: not measured.
  double output_rate() const { return output_.per_second(); }  // Tokens a second, likewise.

 private:
  MeasuredRate prompt_{kPromptBytesMin}, output_{kOutputTokensMin};
  double short_ms_ = 0;  // Of short prompts, on average.
};

// One request at a backend: counts there until it is destroyed, as its trial too, and tells how
// fast it went. On the io thread.
class BackendRequest {
 public:
  BackendRequest(io::Clock& clock, std::shared_ptr<Backend> backend, std::string model,
                 size_t prompt_bytes);
  ~BackendRequest();
  BackendRequest(const BackendRequest&) = delete;
  BackendRequest& operator=(const BackendRequest&) = delete;

  Backend& backend() { return *backend_; }
  void failed(const Error& error);  // It did, by the backend's fault.
  void note_output();               // Something of the answer came.
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
