#include "engine/external/silence_limit.h"

#include <algorithm>

namespace om::engine {
namespace {

constexpr std::chrono::seconds kLookInterval{1};
constexpr std::chrono::milliseconds kPromptMax{50};  // From an event to the next wait.
constexpr int64_t kBytesPerToken = 4;

}  // namespace

SilenceLimit::SilenceLimit(io::Clock& clock, const io::CancelToken& caller,
                           std::shared_ptr<const BackendHealth> health, UpstreamWork work)
    : clock_(clock),
      health_(std::move(health)),
      work_(std::move(work)),
      on_caller_(caller, [this] { cancel_.cancel(); }),
      begun_at_(clock.now()) {
  arm();
}

SilenceLimit::~SilenceLimit() { clock_.cancel_timer(timer_); }

void SilenceLimit::begin_wait() {
  waiting_ = true;
  if (!first_waited_) first_waited_ = clock_.now();
}

void SilenceLimit::heard(bool brought_output) {
  const io::TimePoint now = clock_.now();
  // A reader that came late says nothing about the server.
  if (begun_ && work_.pace && first_waited_ && *first_waited_ - last_event_ < kPromptMax) {
    work_.pace->outputs.add(now - last_event_);
  }
  if (brought_output && !begun_) first_output_ = now - begun_at_;
  silence_ = {};
  last_event_ = now;
  first_waited_.reset();
  begun_ |= brought_output;
}

void SilenceLimit::note_end(const model::Usage& usage) {
  if (!work_.pace || work_.text_bytes == 0 || usage.prompt_tokens <= 0) return;
  const int64_t evaluated = usage.prompt_tokens - usage.prompt_cached_tokens;
  const double share = static_cast<double>(evaluated) / static_cast<double>(usage.prompt_tokens);
  const int64_t tokens = work_.text_bytes / kBytesPerToken;
  work_.pace->prompts.add(static_cast<int64_t>(static_cast<double>(tokens) * share), tokens,
                          first_output_);
}

void SilenceLimit::arm() {
  looked_ = clock_.now();
  timer_ = clock_.start_timer(looked_ + kLookInterval, [this] { look(); });
}

io::Duration SilenceLimit::limit() const {
  if (health_->lost()) return kLostMax;
  if (begun_) return work_.pace ? work_.pace->outputs.limit() : BackendPace::kNextUnknown;
  if (!work_.pace || work_.text_bytes == 0) return BackendPace::kFirstUnknown;
  const int64_t tokens = work_.text_bytes / kBytesPerToken;
  return std::min<io::Duration>(BackendPace::kFirstUnknown,
                                work_.pace->prompts.limit(tokens, tokens, BackendPace::kFirstMin,
                                                          BackendPace::kFirstUnknown));
}

void SilenceLimit::look() {
  // A node that was frozen or suspended in between blames nobody for that.
  const io::Duration passed = std::min<io::Duration>(clock_.now() - looked_, 2 * kLookInterval);
  if (waiting_) silence_ += passed;
  const io::Duration most = limit();
  arm();
  if (!waiting_ || silence_ <= most) return;
  passed_ = true;
  cancel_.cancel();  // May destroy this.
}

}  // namespace om::engine
