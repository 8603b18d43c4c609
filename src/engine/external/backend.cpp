#include "engine/external/backend.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json_fields.h"
#include "base/log.h"
#include "io/wall_time.h"

namespace om::engine {
namespace {

namespace json = boost::json;

constexpr size_t kListBytesMax = 8 << 20;
constexpr size_t kErrorBytesMax = 64 << 10;
constexpr size_t kErrorShownMax = 500;
constexpr std::chrono::seconds kMoment{2};  // Those who wait in silence look once a second.
// 8192 numbers of 17 digits, and spaces between them; of all together.
constexpr size_t kVectorBytesMax = 256 << 10, kVectorsBytesMax = 256 << 20;

Errc errc_of(int status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return Errc::invalid_argument;
    case 401:
    case 403:
      return Errc::unauthenticated;
    case 404:
    case 405:
      return Errc::not_found;
    case 429:
      return Errc::overloaded;
    case 502:
    case 503:
    case 504:
      return Errc::unavailable;
    default:
      return Errc::internal;
  }
}

// When a listed model was made: Ollama tells it as text, OpenAI's API in seconds.
io::WallTime modified_of(const JsonFields& model) {
  if (const auto told = io::parse_rfc3339(model.text("modified_at"))) return *told;
  constexpr int64_t kSecondsMax =
      std::chrono::duration_cast<std::chrono::seconds>(io::WallTime::max().time_since_epoch())
          .count();
  int64_t seconds = 0;
  model.read("created", seconds);
  return io::WallTime(std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kSecondsMax)));
}

// The text of an error's body, whichever shape it has.
std::string error_text(std::string_view body) {
  boost::system::error_code failed;
  const json::value value = json::parse(body, failed);
  if (!failed && value.is_object()) {
    const JsonFields fields(value.get_object());
    if (const json::object* error = fields.object("error")) {
      return JsonFields(*error).text("message");
    }
    for (const auto* name : {"error", "detail", "message"}) {
      if (std::string text = fields.text(name); !text.empty()) return text;
    }
  }
  return std::string(body.substr(0, kErrorShownMax));
}

// Some know their paths and say so; others are in trouble, or want a key that comes later.
bool says_nothing(const Result<std::string>& told) {
  return told || (told.error().code != Errc::not_found && told.error().code != Errc::unsupported &&
                  told.error().code != Errc::invalid_argument);
}

}  // namespace

std::string_view without_latest(std::string_view model) {
  if (model.ends_with(":latest")) model.remove_suffix(7);
  return model;
}

Backend::Backend(io::World& world, http::Client& client, BackendSpec spec, std::string key)
    : world_(world),
      client_(client),
      spec_(std::move(spec)),
      key_(std::move(key)),
      kind_(spec_.kind),
      doubts_left_(spec_.kind == BackendKind::unknown ? kDoubtsMax : 0),
      key_came_(world.clock),
      tasks_(world.executor, world.clock) {}

Backend::~Backend() = default;

void Backend::start() { tasks_.spawn(watch()); }

io::Task<void> Backend::stop() {
  co_await tasks_.stop();
  client_.close_idle(request("GET", "/", {}));
}

void Backend::set_key(std::string key) {
  if (key == key_) return;
  key_ = std::move(key);
  key_changed_ = true;
  checked_ = false;
  key_came_.notify_all();
}

io::Task<void> Backend::watch() {
  const io::CancelToken token = tasks_.token();
  bool was_healthy = true;
  while (true) {
    key_changed_ = false;
    const auto checked = co_await check(world_.clock.call_within(kCheckMax, token));
    if (token.cancelled()) co_return;
    if (!checked && was_healthy) {
      log_warn("backend does not answer", field("backend", spec_.name),
               field("error", checked.error()));
    } else if (checked && !was_healthy) {
      log_info("backend answers again", field("backend", spec_.name));
    }
    was_healthy = checked.has_value();
    if (key_changed_) continue;  // It came too late for this check.
    const auto woken = co_await key_came_.wait(world_.clock.call_within(kCheckInterval, token));
    if (!woken && woken.error().code == Errc::cancelled) co_return;
  }
}

io::Task<Result<void>> Backend::check(io::Call call) {
  Result<void> checked;
  if (doubts_left_ > 0) {
    const auto found = co_await detect(call);
    if (!found) checked = fail(found.error());
    if (found && doubts_left_ > 0) {  // Another check may have been sure meanwhile.
      kind_ = found->kind;
      doubts_left_ = found->sure ? 0 : doubts_left_ - 1;
    }
  }
  if (checked) checked = co_await read_models(call);
  if (checked) {
    error_.reset();
    health_->failed_checks = 0;
  } else if (checked.error().code != Errc::cancelled) {
    error_ = checked.error();
    health_->failed_checks++;
  }
  const bool ended = checked || checked.error().code != Errc::cancelled;
  checked_ = checked_ || (ended && !key_changed_);
  co_return checked;
}

bool Backend::was_checked() const {
  return checked_ && (spec_.key_digest.empty() || !key_.empty());
}

io::Task<Result<Backend::Detected>> Backend::detect(io::Call call) {
  const auto version = co_await fetch("GET", "/api/version", {}, call);
  if (version && version->contains("\"version\"")) co_return Detected{BackendKind::ollama, true};
  // Who cannot be reached at all is asked nothing more.
  if (!version && version.error().code == Errc::unavailable) co_return fail(version.error());
  const auto properties = co_await fetch("GET", "/props", {}, call);
  if (properties && properties->contains("default_generation_settings")) {
    co_return Detected{BackendKind::llama_server, true};
  }
  CO_TRY(const std::string models, co_await fetch("GET", "/v1/models", {}, call));
  if (models.contains("\"vllm\"")) co_return Detected{BackendKind::vllm, true};
  if (!models.contains("\"data\"")) co_return fail(Errc::corrupt, "it lists no models");
  co_return Detected{BackendKind::openai, !says_nothing(version) && !says_nothing(properties)};
}

io::Task<Result<void>> Backend::read_models(io::Call call) {
  const bool ollama = kind_ == BackendKind::ollama;
  CO_TRY(const std::string text,
         co_await fetch("GET", ollama ? "/api/tags" : "/v1/models", {}, call));
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  const json::array* list = nullptr;
  if (!failed && value.is_object()) {
    list = JsonFields(value.get_object()).array(ollama ? "models" : "data");
  }
  if (!list) co_return fail(Errc::corrupt, "the backend's list of models is none");
  std::vector<ExternalModel> models;
  for (const json::value& entry : *list) {
    if (!entry.is_object() || models.size() >= kBackendModelsMax) continue;
    const JsonFields fields(entry.get_object());
    ExternalModel model;
    model.name = fields.text(ollama ? "name" : "id");
    fields.read("size", model.size);
    fields.read("digest", model.digest);
    model.modified = modified_of(fields);
    const auto offered = [&model](const std::string& wanted) {
      return without_latest(wanted) == without_latest(model.name);
    };
    if (!spec_.models.empty() && std::ranges::none_of(spec_.models, offered)) continue;
    if (!model.name.empty()) models.push_back(std::move(model));
  }
  models_ = std::move(models);
  std::erase_if(speeds_, [this](const auto& item) {
    return std::ranges::find(models_, item.first, &ExternalModel::name) == models_.end();
  });
  co_return Result<void>{};
}

const ExternalModel* Backend::find(std::string_view model) const {
  const auto found = std::ranges::find_if(models_, [model](const ExternalModel& known) {
    return without_latest(known.name) == without_latest(model);
  });
  return found == models_.end() ? nullptr : &*found;
}

BackendSpeed Backend::speed(std::string_view model) const {
  const auto known = speeds_.find(model);
  return known == speeds_.end() ? BackendSpeed() : known->second;
}

BackendSpeed* Backend::speed_to_learn(const std::string& model) {
  return find(model) ? &speeds_[model] : nullptr;
}

bool Backend::may_be_asked() const {
  if (failures_ < kFailuresMax) return true;
  return !trying_ && world_.clock.now() >= open_until_;
}

void Backend::answered() { failures_ = 0; }

void Backend::failed(const Error& error, io::TimePoint sent) {
  const io::TimePoint now = world_.clock.now();
  const bool is_known = sent < failed_at_ && now - failed_at_ <= kMoment;
  if (!is_known) {
    failures_++;
    failed_at_ = now;
    const int doublings = std::clamp(failures_ - kFailuresMax, 0, 8);
    open_until_ = now + std::min<io::Duration>(kOpenFirst * (1 << doublings), kOpenMax);
  }
  log_warn("backend failed a request", field("backend", spec_.name), field("error", error),
           field("failures", failures_));
}

http::ClientRequest Backend::request(std::string method, std::string target,
                                     std::string body) const {
  const auto url = http::Url::parse(spec_.url);
  auto request = http::ClientRequest::to(std::move(method), *url);  // It was parsed before.
  request.outside = true;
  request.target = (url->target == "/" ? "" : url->target) + target;
  request.body = std::move(body);
  request.repeatable = true;  // It computes; an answer of which nothing came is asked for again.
  if (!request.body.empty()) request.headers.add("Content-Type", "application/json");
  request.headers.add(std::string(kForwardedHeader), "1");
  if (!key_.empty()) request.headers.add("Authorization", "Bearer " + key_);
  return request;
}

Error Backend::blamed(Error error) const {
  if (error.code == Errc::not_found || error.code == Errc::deadline_exceeded) {
    error.code = Errc::unavailable;  // Its name does not resolve, or it is too slow.
  }
  return annotate(std::move(error), "backend " + spec_.name);
}

io::Task<Result<std::unique_ptr<http::ClientResponse>>> Backend::send(http::ClientRequest request,
                                                                      io::Call call) {
  auto response = co_await client_.send(std::move(request), std::move(call));
  if (!response) co_return fail(blamed(std::move(response).error()));
  const int status = (*response)->status();
  if (status >= 200 && status < 300) co_return std::move(*response);
  const auto body = co_await (*response)->read_all(kErrorBytesMax);
  co_return fail(errc_of(status), "backend {} answered {}: {}", spec_.name, status,
                 body ? error_text(*body) : "");
}

io::Task<Result<std::string>> Backend::fetch(std::string method, std::string target,
                                             std::string body, io::Call call) {
  auto asked = request(std::move(method), std::move(target), std::move(body));
  CO_TRY(const auto response, co_await send(std::move(asked), std::move(call)));
  co_return co_await response->read_all(kListBytesMax);
}

Error Backend::silence_or(const SilenceLimit& limit, Error error) const {
  if (!limit.passed()) return error;
  return {Errc::unavailable, fmt::format("backend {} is silent", spec_.name)};
}

io::Task<Result<std::string>> Backend::embed(UpstreamRequest upstream, size_t texts,
                                             io::Call call) {
  const size_t bytes_max =
      std::clamp(std::min(texts, kVectorsBytesMax / kVectorBytesMax) * kVectorBytesMax,
                 kListBytesMax, kVectorsBytesMax);
  SilenceLimit limit(world_.clock, call.cancel, health_);
  auto asked = request("POST", std::move(upstream.target), std::move(upstream.body));
  limit.begin_wait();
  auto response = co_await send(std::move(asked), io::Call{call.deadline, limit.token()});
  limit.end_wait();
  if (!response) co_return fail(silence_or(limit, std::move(response).error()));
  std::string body;
  while (true) {
    limit.begin_wait();
    auto more = co_await (*response)->read_some(body);
    limit.end_wait();
    if (!more) co_return fail(silence_or(limit, blamed(std::move(more).error())));
    limit.heard(true);
    if (body.size() > bytes_max) {
      co_return fail(Errc::invalid_argument,
                     "the embeddings of {} texts are larger than {} bytes; ask for fewer at once",
                     texts, bytes_max);
    }
    if (!*more) co_return body;
  }
}

io::Task<Result<std::unique_ptr<ExternalAnswer>>> Backend::ask(UpstreamRequest upstream,
                                                               io::Call call) {
  const bool lines = kind_ == BackendKind::ollama;
  upstream = dialect_.adapt(std::move(upstream));
  auto limit =
      std::make_unique<SilenceLimit>(world_.clock, call.cancel, health_,
                                     UpstreamWork{paces_.of(upstream.model), upstream.text_bytes});
  const io::Call limited{call.deadline, limit->token()};
  limit->begin_wait();
  auto response = co_await send(request("POST", upstream.target, upstream.body), limited);
  while (!response && dialect_.learn(upstream, response.error())) {
    upstream = dialect_.adapt(std::move(upstream));
    response = co_await send(request("POST", upstream.target, upstream.body), limited);
  }
  limit->end_wait();
  if (!response) co_return fail(silence_or(*limit, std::move(response).error()));
  co_return std::make_unique<ExternalAnswer>(std::move(limit), std::move(*response),
                                             lines ? ollama_events() : openai_events(), lines);
}

}  // namespace om::engine
