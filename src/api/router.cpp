#include "api/router.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "http/content_coding.h"

namespace om::api {
namespace {

constexpr std::string_view kJson = "application/json; charset=utf-8";

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> segments;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == path.npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool is_literal(std::string_view pattern) {
  return pattern.find("/:") == pattern.npos && pattern.find("/*") == pattern.npos;
}

}  // namespace

std::string_view Context::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

io::Task<Result<void>> Context::send(int code, std::string content_type, std::string text) {
  status = code;
  // Lists and documents. Answers to POST are small, or streams.
  if (code == 200 && request.method == "GET") {
    if (auto packed = http::gzip_if_useful(request.headers, content_type, text)) {
      response.headers().set("Content-Encoding", "gzip");
      response.headers().add("Vary", "Accept-Encoding");  // Beside a page's "Origin".
      text = std::move(*packed);
    }
  }
  co_return co_await response.send(code, std::move(content_type), std::move(text));
}

io::Task<Result<void>> Context::send_json(std::string text) {
  return send(200, std::string(kJson), std::move(text));
}

io::Task<Result<void>> Context::start(std::string content_type) {
  status = 200;
  if (pick_up) pick_up->numbers.set_event_stream(content_type == "text/event-stream");
  // Else nginx gathers what comes until it has some kilobytes, or the end.
  response.headers().set("X-Accel-Buffering", "no");
  co_return co_await response.start(200, std::move(content_type));
}

namespace {

io::Task<Result<void>> write_numbered(Context& context, std::string_view events) {
  if (!context.pick_up) co_return co_await context.response.write(events);
  const std::string numbered = context.pick_up->numbers.pass(events);
  if (numbered.empty()) co_return Result<void>{};
  co_return co_await context.response.write(numbered);
}

}  // namespace

io::Task<Result<void>> Context::write(std::string_view events) {
  if (clock && !first_piece) first_piece = clock->now();
  return write_numbered(*this, events);
}

io::Task<Result<void>> Context::write_opening(std::string events) {
  if (events.empty()) co_return Result<void>{};
  co_return co_await write_numbered(*this, events);
}

Result<void> Context::check_seen(bool was_kept, uint64_t unsent) {
  if (!pick_up || was_kept) return {};
  auto known = pick_up->numbers.begin_new(unsent);
  if (!known) error_status = 410;
  return known;
}

void Router::add(std::string_view method, std::string_view pattern, ErrorShape shape,
                 RouteHandler handler) {
  CHECK(pattern.starts_with('/'));
  Route route{.method = std::string(method),
              .pattern = std::string(pattern),
              .segments = {},
              .shape = shape,
              .handler = std::move(handler)};
  for (std::string_view segment : split_path(pattern)) route.segments.emplace_back(segment);
  // Literal routes stay in front: the first match wins.
  auto at = routes_.end();
  if (is_literal(pattern)) {
    at = std::find_if(routes_.begin(), routes_.end(),
                      [](const Route& other) { return !is_literal(other.pattern); });
  }
  routes_.insert(at, std::move(route));
}

bool Router::matches(const Route& route, const std::vector<std::string_view>& path,
                     Parameters& parameters) {
  parameters.clear();
  for (size_t i = 0; i < route.segments.size(); i++) {
    std::string_view segment = route.segments[i];
    if (i >= path.size()) return false;
    if (segment.starts_with('*')) {
      std::string rest(path[i]);
      for (size_t j = i + 1; j < path.size(); j++) rest.append("/").append(path[j]);
      if (rest.empty()) return false;
      parameters.emplace_back(segment.substr(1), std::move(rest));
      return true;
    }
    if (segment.starts_with(':')) {
      if (path[i].empty()) return false;
      parameters.emplace_back(segment.substr(1), path[i]);
    } else if (segment != path[i]) {
      return false;
    }
  }
  return path.size() == route.segments.size();
}

bool Router::has_match(std::string_view path) const {
  const std::vector<std::string_view> segments = split_path(path);
  Parameters unused;
  return std::ranges::any_of(routes_,
                             [&](const Route& route) { return matches(route, segments, unused); });
}

std::string Router::known_path(std::string path) const {
  std::string clean = path;
  const auto joined =
      std::ranges::unique(clean, [](char a, char b) { return a == '/' && b == '/'; });
  clean.erase(joined.begin(), joined.end());
  if (clean.size() > 1 && clean.ends_with('/')) clean.pop_back();
  if (clean == path || has_match(path)) return path;
  return has_match(clean) ? clean : path;
}

io::Task<void> Router::handle(Context& context) const {
  const std::vector<std::string_view> path = split_path(context.request.path);
  Parameters parameters;
  std::string allowed;  // Methods of the path, for 405 (RFC 9110, section 15.5.6).
  for (const Route& route : routes_) {
    if (!matches(route, path, parameters)) continue;
    if (route.method != context.request.method) {
      allowed += (allowed.empty() ? "" : ", ") + route.method;
      continue;
    }
    context.pattern = route.pattern;
    context.shape = route.shape;
    context.parameters = std::move(parameters);
    Result<void> result = co_await route.handler(context);
    if (!result) co_await answer_error(context, std::move(result).error());
    co_return;
  }
  const int status = allowed.empty() ? 404 : 405;
  if (!allowed.empty()) context.response.headers().set("Allow", allowed);
  std::string text = !allowed.empty() ? "405 method not allowed" : "404 page not found";
  // A client that is gone already needs no answer.
  (void)co_await context.send(status, "text/plain", std::move(text));
}

io::Task<void> Router::answer_error(Context& context, Error error) const {
  const int status = context.error_status.value_or(http_status(error.code));
  if (context.request.cancel.cancelled()) {
    context.status = 499;
    co_return;
  }
  if (status >= 500) {
    log_warn("request failed", field("id", context.request.id), field("route", context.pattern),
             field("status", status), field("error", error));
  }
  if (context.response.started()) {
    const std::string element = context.error_element.value_or(
        error_element(context.shape, status, error.what, context.request.id));
    Result<void> written = co_await context.response.write(element);
    if (written) written = co_await context.response.finish();
    if (!written) context.status = 499;
    co_return;
  }
  if (status == 503) context.response.headers().set("Retry-After", "1");
  std::string body = error_body(context.shape, status, error.what, context.request.id);
  Result<void> sent = co_await context.send(status, std::string(kJson), std::move(body));
  if (!sent) context.status = 499;
}

}  // namespace om::api
