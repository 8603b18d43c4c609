#include "engine/remote/line_reader.h"

#include "base/check.h"

namespace om::engine {
namespace {

constexpr size_t kLineBytesMax = 16 << 20;
constexpr size_t kErrorBytesMax = 64 << 10;
constexpr size_t kSlowBytesPerMs = 1000;    // A link slower than this is not worth using.
constexpr size_t kCompactBytes = 64 << 10;  // Of lines given out, before the rest is moved down.

}  // namespace

namespace {

// Cancels what is sent when its caller leaves, or when no head has come in time.
class HeadLimit {
 public:
  HeadLimit(io::Clock& clock, const io::CancelToken& caller, io::Duration patience)
      : clock_(clock), on_caller_(caller, [this] { cancel_.cancel(); }) {
    timer_ = clock_.start_timer(clock_.now() + patience, [this] {
      timer_ = 0;
      timed_out_ = true;
      cancel_.cancel();
    });
  }
  ~HeadLimit() {
    if (timer_ != 0) clock_.cancel_timer(timer_);
  }
  HeadLimit(const HeadLimit&) = delete;
  HeadLimit& operator=(const HeadLimit&) = delete;

  void head_came() {
    if (timer_ != 0) clock_.cancel_timer(std::exchange(timer_, 0));
  }
  io::CancelToken token() const { return cancel_.token(); }
  bool timed_out() const { return timed_out_; }

 private:
  io::Clock& clock_;
  io::CancelSource cancel_;
  io::OnCancel on_caller_;
  io::Clock::TimerId timer_ = 0;
  bool timed_out_ = false;
};

}  // namespace

io::Task<Result<LineReader>> LineReader::open(io::Clock& clock, http::Client& client,
                                              const PeerLink& link, http::ClientRequest request,
                                              io::Call call) {
  const auto body_time = std::chrono::milliseconds(request.body.size() / kSlowBytesPerMs);
  auto limit = std::make_shared<HeadLimit>(clock, call.cancel, kSilenceMax + body_time);
  auto response = co_await client.send(std::move(request), io::Call{call.deadline, limit->token()});
  limit->head_came();
  LineReader reader(clock, link.node, std::move(call));
  if (!response) {
    if (auto error = reader.given_up()) co_return fail(std::move(*error));
    if (limit->timed_out()) co_return fail(reader.lose("it does not answer"));
    co_return fail(reader.lose(response.error().what));
  }
  reader.limit_ = limit;
  reader.response_ = std::move(*response);
  reader.response_->set_idle_max(kSilenceMax);
  const int status = reader.response_->status();
  if (status == 200) co_return std::move(reader);
  CO_TRY(const std::string body, co_await reader.response_->read_all(kErrorBytesMax));
  if (const auto told = parse_line(body)) {
    if (auto error = error_in(*told)) co_return fail(std::move(*error));
  }
  co_return fail(Errc::unavailable, "node {} answered {}", link.node, status);
}

Error LineReader::lose(std::string_view why) {
  lost_ = true;
  response_.reset();
  return {Errc::unavailable, fmt::format("node {}: {}", node_, why)};
}

std::optional<Error> LineReader::given_up() {
  const bool cancelled = call_.cancel.cancelled();
  if (!cancelled && clock_->now() < call_.deadline) return std::nullopt;
  response_.reset();
  if (cancelled) return Error{Errc::cancelled, "the request was cancelled"};
  return Error{Errc::deadline_exceeded, "the request took too long"};
}

std::optional<Result<boost::json::object>> LineReader::ready() {
  while (true) {
    const size_t end = buffer_.find('\n', std::max(start_, scanned_));
    if (end == std::string::npos) {
      scanned_ = buffer_.size();
      return std::nullopt;
    }
    const std::string_view line = std::string_view(buffer_).substr(start_, end - start_);
    start_ = scanned_ = end + 1;
    if (line == kPulseLine.substr(0, kPulseLine.size() - 1)) continue;
    auto object = parse_line(line);
    if (!object) return fail(lose(object.error().what));
    if (auto error = error_in(*object)) {
      // Not by us: the node took this one for dead, and ends what it held for it.
      const bool given_up = error->code == Errc::cancelled && !call_.cancel.cancelled();
      return fail(given_up ? lose("it gave the request up") : std::move(*error));
    }
    return object;
  }
}

io::Task<Result<boost::json::object>> LineReader::next() {
  while (true) {
    if (auto line = ready()) co_return std::move(*line);
    if (!response_) co_return fail(lose("the connection is gone"));
    if (start_ > kCompactBytes || start_ == buffer_.size()) {
      buffer_.erase(0, start_);
      scanned_ -= start_;
      start_ = 0;
    }
    if (buffer_.size() > kLineBytesMax) co_return fail(lose("a line without an end"));
    auto more = co_await response_->read_some(buffer_);
    if (call_.cancel.cancelled() || !more) {
      if (auto error = given_up()) co_return fail(std::move(*error));
    }
    // Silence is no cut: a node that says nothing will not say more on another connection.
    cut_ = more ? !*more : more.error().code != Errc::deadline_exceeded;
    if (!more) co_return fail(lose(more.error().what));
    if (!*more) co_return fail(lose("it ended the answer before it was complete"));
  }
}

io::Task<void> LineReader::finish() {
  if (!response_) co_return;
  std::string rest;
  response_->set_idle_max(kPulseInterval);
  auto more = co_await response_->read_some(rest);
  if (!more || *more) response_.reset();
}

}  // namespace om::engine
