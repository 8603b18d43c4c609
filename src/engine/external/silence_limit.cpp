#include "engine/external/silence_limit.h"

#include <algorithm>
#include <numeric>

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
  join_waiting();
  arm();
}

SilenceLimit::~SilenceLimit() {
  leave_waiting();
  clock_.cancel_timer(timer_);
}

void SilenceLimit::join_waiting() {
  if (!work_.pace || work_.text_bytes == 0) return;
  place_ = work_.pace->waiting.insert(work_.text_bytes / kBytesPerToken);
}

void SilenceLimit::leave_waiting() {
  if (place_) work_.pace->waiting.erase(*place_);
  place_.reset();
}

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
  if (brought_output && !begun_) {
    first_output_ = now - begun_at_;
    was_alone_ = !work_.pace || work_.pace->last_output <= begun_at_;
  }
  if (brought_output && work_.pace) work_.pace->last_output = now;
  if (brought_output) leave_waiting();
  silence_ = {};
  last_event_ = now;
  first_waited_.reset();
  begun_ |= brought_output;
}

void SilenceLimit::note_end(const model::Usage& usage) {
  // How long it waited for others says nothing of its prompt.
  if (!was_alone_ || !work_.pace || work_.text_bytes == 0 || usage.prompt_tokens <= 0) return;
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
  if (!place_) return BackendPace::kFirstUnknown;
  // Of these it may evaluate any now, or all at once.
  const std::multiset<int64_t>& waiting = work_.pace->waiting;
  const int64_t tokens = std::reduce(waiting.begin(), waiting.end());
  return std::min<io::Duration>(
      BackendPace::kFirstUnknown,
      work_.pace->prompts.limit(tokens, *waiting.rbegin(), BackendPace::kFirstMin,
                                BackendPace::kFirstUnknown));
}

void SilenceLimit::look() {
  // A node that was frozen or suspended in between blames nobody for that.
  const io::Duration passed = std::min<io::Duration>(clock_.now() - looked_, 2 * kLookInterval);
  if (waiting_) silence_ += passed;
  if (waiting_ && !begun_) waited_ += passed;
  if (place_ && work_.pace->last_output > looked_) silence_ = {};
  const io::Duration most = limit();
  arm();
  if (!waiting_ || (silence_ <= most && waited_ <= BackendPace::kFirstUnknown)) return;
  passed_ = true;
  cancel_.cancel();  // May destroy this.
}

}  // namespace om::engine
