#include "engine/external/backend_speed.h"

#include <algorithm>

#include "engine/external/backend.h"

namespace om::engine {
namespace {

constexpr double kKept = 0.8;  // Of the average before, with each further prompt.

}  // namespace

void BackendSpeed::add_first_token(size_t prompt_bytes, int ahead, io::Duration took) {
  const io::Duration alone = took / (1 + std::max(0, ahead));
  if (static_cast<double>(prompt_bytes) >= kPromptBytesMin) {
    prompt_.add(static_cast<double>(prompt_bytes), alone);
    return;
  }
  const double ms = std::chrono::duration<double, std::milli>(alone).count();
  short_ms_ = short_ms_ > 0 ? kKept * short_ms_ + (1 - kKept) * ms : ms;
}

void BackendSpeed::add_output(int64_t tokens, int beside, io::Duration took) {
  output_.add(static_cast<double>(tokens) * (1 + kBatchSlowdown * std::max(0, beside)), took);
}

double BackendSpeed::prefill_ms(size_t prompt_bytes) const {
  const auto bytes = static_cast<double>(prompt_bytes);
  const double rate = prompt_.per_second();
  if (rate > 0 && (bytes >= kPromptBytesMin || short_ms_ == 0)) {
    return std::max(bytes, kPromptBytesMin) / rate * 1000;
  }
  return short_ms_;
}

BackendRequest::BackendRequest(io::Clock& clock, std::shared_ptr<Backend> backend,
                               std::string model, size_t prompt_bytes)
    : clock_(clock),
      backend_(std::move(backend)),
      model_(std::move(model)),
      prompt_bytes_(prompt_bytes),
      ahead_(backend_->waiting()),
      asked_(clock.now()),
      is_trial_(backend_->failures_ >= Backend::kFailuresMax) {
  backend_->trying_ |= is_trial_;
  backend_->running_++;
  backend_->waiting_++;
}

BackendRequest::~BackendRequest() {
  // Also of a client that left: nobody else would tell how it went.
  if (is_trial_) backend_->trying_ = false;
  backend_->running_--;
  if (waits_) backend_->waiting_--;
}

void BackendRequest::failed(const Error& error) { backend_->failed(error, asked_); }

void BackendRequest::note_output() {
  if (!waits_) return;
  waits_ = false;
  backend_->waiting_--;
  first_ = clock_.now();
  if (BackendSpeed* speed = backend_->speed_to_learn(model_)) {
    speed->add_first_token(prompt_bytes_, ahead_, first_ - asked_);
  }
}

void BackendRequest::note_end(int64_t output_tokens) {
  if (waits_) return;
  if (BackendSpeed* speed = backend_->speed_to_learn(model_)) {
    speed->add_output(output_tokens, backend_->running() - 1, clock_.now() - first_);
  }
}

}  // namespace om::engine
