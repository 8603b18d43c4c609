#include "transfer/upload_session.h"

#include <charconv>

namespace om::transfer {
namespace {

constexpr uint64_t kReplyBytesMax = 64 * 1024;
constexpr uint64_t kOwnPartsMax = 256;  // More only while they are as small as they get.
constexpr std::chrono::seconds kSmallRequestMax{60};
constexpr std::chrono::minutes kCommitMax{30};  // A registry may copy the whole blob.

using Response = std::unique_ptr<http::ClientResponse>;

bool accepted(int status) { return status >= 200 && status < 300; }

// How many bytes "0-99" speaks of. "0-0" is said of none as well as of one.
std::optional<uint64_t> parse_range(std::string_view text) {
  if (text.starts_with("bytes=")) text.remove_prefix(6);
  if (!text.starts_with("0-")) return {};
  text.remove_prefix(2);
  uint64_t last = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), last);
  if (error != std::errc{} || end != text.data() + text.size() || last == 0) return {};
  return last + 1;
}

}  // namespace

// Gives up a request whose bytes nobody takes, or that nobody answers.
class SilenceWatch {
 public:
  // `answer_max`: how long the answer may take, once all was taken.
  SilenceWatch(io::Clock& clock, const io::Call& call, io::Duration answer_max)
      : clock_(clock),
        deadline_(call.deadline),
        answer_max_(answer_max),
        on_cancel_(call.cancel, [this] { source_.cancel(); }) {
    note_taken(false);
    look();
  }
  ~SilenceWatch() { clock_.cancel_timer(timer_); }
  SilenceWatch(const SilenceWatch&) = delete;
  SilenceWatch& operator=(const SilenceWatch&) = delete;

  void note_taken(bool all) { until_ = clock_.now() + (all ? answer_max_ : kUploadSilenceMax); }
  io::Call call() const { return {deadline_, source_.token()}; }
  Error explain(Error error, const http::Url& at) const {
    if (!silent_) return error;
    return {Errc::unavailable, at.authority() + " takes nothing any more, and does not answer"};
  }

 private:
  void look() {
    silent_ = clock_.now() >= until_;
    if (silent_) {
      source_.cancel();
    } else {
      timer_ = clock_.start_timer(until_, [this] { look(); });
    }
  }

  io::Clock& clock_;
  io::TimePoint deadline_, until_{};
  io::Duration answer_max_;
  io::CancelSource source_;
  io::OnCancel on_cancel_;
  io::Clock::TimerId timer_ = 0;
  bool silent_ = false;
};

io::Task<Error> UploadSession::refused(Response response) {
  refused_with_ = response->status();
  co_return co_await registry_.refused(std::move(response));
}

// A request without a streamed body; answered with a new login if need be.
io::Task<Result<Response>> UploadSession::ask(std::string method, http::Url at, io::Duration max) {
  refused_with_ = 0;
  auto request = http::ClientRequest::to(std::move(method), at);
  request.repeatable = true;  // An upload that nobody goes on with expires.
  if (request.method == "PUT") request.headers.set("Content-Type", "application/octet-stream");
  const io::Call call = registry_.context().world.clock.call_within(max, call_);
  auto asking = registry_.is_own(at) ? registry_.send(std::move(request), call)
                                     : registry_.send_to(at, std::move(request), call);
  auto response = co_await std::move(asking);
  if (!response && response.error().code == Errc::deadline_exceeded &&
      registry_.context().world.clock.now() < call_.deadline) {
    co_return fail(Errc::unavailable, "{}", response.error().what);  // Another try may do better.
  }
  co_return response;
}

io::Task<Result<bool>> UploadSession::start() {
  http::Url url = registry_.url("blobs/uploads/");
  const auto from = model::Name::parse(layer_.from);
  if (!layer_.from.empty() && from) {
    url.target +=
        fmt::format("?mount={}&from={}/{}", layer_.digest.str(), from->name_space, from->model);
  }
  CO_TRY(auto response, co_await ask("POST", url, kSmallRequestMax));
  if (!accepted(response->status())) co_return fail(co_await refused(std::move(response)));
  if (response->status() == 201) co_return true;
  CO_TRY_VOID(go_on_at(url, *response));
  (void)co_await response->read_all(kReplyBytesMax);  // Only to keep the connection.
  open_ = true;
  elsewhere_ = false;
  knows_parts_ = true;
  md5s_.clear();
  offset_ = 0;
  progress_.restart_at(0);
  co_return false;
}

Result<void> UploadSession::adopt(std::string_view url) {
  TRY(location_, http::Url::parse(url));
  if (!registry_.is_own(location_)) {
    return fail(Errc::forbidden, "{} is not the registry", location_.authority());
  }
  open_ = true;
  registry_.note_keeps_uploads();  // Nothing else is remembered.
  return {};
}

Result<void> UploadSession::go_on_at(const http::Url& base, const http::ClientResponse& response) {
  auto location = response.headers().get("Docker-Upload-Location");
  if (location.empty()) location = response.headers().get("Location");
  if (location.empty()) return fail(Errc::unavailable, "the registry names no upload location");
  TRY(location_, registry_.resolve(base, location));
  return {};
}

io::Task<Result<void>> UploadSession::find_offset() {
  const http::Url at = location_;
  CO_TRY(auto response, co_await ask("GET", at, kSmallRequestMax));
  if (!accepted(response->status())) {
    const int status = response->status();
    Error error = co_await refused(std::move(response));
    if (!retryable(error.code)) {
      error = {Errc::not_found, fmt::format("the registry has forgotten the upload ({})", status)};
    }
    co_return fail(std::move(error));
  }
  if (!response->headers().get("Location").empty()) CO_TRY_VOID(go_on_at(at, *response));
  const auto present = parse_range(response->headers().get("Range"));
  (void)co_await response->read_all(kReplyBytesMax);
  if (!present || *present > layer_.size) {
    co_return fail(Errc::not_found, "the registry has nothing of the upload");
  }
  offset_ = *present;
  progress_.restart_at(offset_);
  knows_parts_ = false;
  registry_.note_keeps_uploads();
  co_return Result<void>{};
}

uint64_t UploadSession::part_bytes() const {
  const uint64_t as_ollama = std::clamp(layer_.size / 16, kPartBytesMin, kPartBytesMax);
  if (!registry_.keeps_uploads()) return as_ollama;
  return std::clamp(layer_.size / kOwnPartsMax, kOwnPartBytesMin, as_ollama);
}

io::Task<Result<void>> UploadSession::send_part() {
  const uint64_t length = std::min(part_bytes(), layer_.size - offset_);
  const http::Url at = location_;
  SilenceWatch watch(registry_.context().world.clock, call_, kUploadSilenceMax);
  CO_TRY(auto response, co_await send_bytes("PATCH", at, length, watch));
  if (response->status() == 307) {
    co_return co_await send_elsewhere(std::move(response), at, length, watch);
  }
  if (!accepted(response->status())) co_return fail(co_await refused(std::move(response)));
  CO_TRY_VOID(go_on_at(at, *response));
  (void)co_await response->read_all(kReplyBytesMax);
  offset_ += length;
  registry_.note_keeps_uploads();
  co_return Result<void>{};
}

// The registry wants these bytes in an object store.
io::Task<Result<void>> UploadSession::send_elsewhere(Response pointer, const http::Url& at,
                                                     uint64_t length, SilenceWatch& watch) {
  elsewhere_ = true;
  CO_TRY(const auto to, registry_.resolve(at, pointer->headers().get("Location")));
  CO_TRY_VOID(go_on_at(at, *pointer));
  (void)co_await pointer->read_all(kReplyBytesMax);
  CO_TRY(auto response, co_await send_bytes("PUT", to, length, watch));
  if (!accepted(response->status())) co_return fail(co_await refused(std::move(response)));
  offset_ += length;
  co_return Result<void>{};
}

io::Task<Result<Response>> UploadSession::send_bytes(std::string method, http::Url at,
                                                     uint64_t length, SilenceWatch& watch) {
  refused_with_ = 0;
  for (int attempt = 0;; attempt++) {
    progress_.restart_at(offset_);
    const auto body =
        std::make_shared<FileBody>(registry_.context().world, file_, offset_, length, progress_);
    http::ClientRequest request;
    request.method = method;
    request.headers.set("Content-Type", "application/octet-stream");
    if (method == "PATCH") {
      request.headers.set("Content-Range", fmt::format("{}-{}", offset_, offset_ + length - 1));
      request.headers.set("X-Redirect-Uploads", "1");
    }
    request.body_length = length;
    request.body_source = [body, &watch] {
      watch.note_taken(body->is_at_end());
      return body->next();
    };
    auto sent = co_await registry_.send_to(at, std::move(request), watch.call());
    if (!sent) co_return fail(watch.explain(sent.error(), at));
    auto response = std::move(*sent);
    response->set_idle_max(kUploadSilenceMax);
    if (response->status() == 401 && attempt == 0 && registry_.is_own(at)) {
      CO_TRY_VOID(co_await registry_.renew(std::move(response), call_));
      watch.note_taken(false);
      continue;
    }
    if (response->status() < 300) md5s_ += body->md5();
    co_return std::move(response);
  }
}

http::Url UploadSession::commit_url() const {
  http::Url url = location_;
  url.target += url.target.find('?') == std::string::npos ? '?' : '&';
  url.target += "digest=" + http::percent_encode(layer_.digest.str());
  return url;
}

io::Task<Result<void>> UploadSession::send_whole() {
  SilenceWatch watch(registry_.context().world.clock, call_, kCommitMax);
  co_return co_await finish(co_await send_bytes("PUT", commit_url(), layer_.size, watch));
}

io::Task<Result<void>> UploadSession::commit() {
  http::Url url = commit_url();
  if (knows_parts_) {
    const std::string etag = md5_of(md5s_);
    const std::span bytes(reinterpret_cast<const uint8_t*>(etag.data()), etag.size());
    url.target += fmt::format("&etag={}-{}", to_hex(bytes), md5s_.size() / 16);
  }
  co_return co_await finish(co_await ask("PUT", std::move(url), kCommitMax));
}

io::Task<Result<void>> UploadSession::finish(Result<Response> response) {
  CO_TRY(auto answer, std::move(response));
  if (!accepted(answer->status())) co_return fail(co_await refused(std::move(answer)));
  (void)co_await answer->read_all(kReplyBytesMax);
  progress_.restart_at(layer_.size);
  co_return Result<void>{};
}

}  // namespace om::transfer
