#include "transfer/registry.h"

#include "base/strings.h"
#include "base/version.h"
#include "model/manifest.h"
#include "store/layout.h"
#include "transfer/auth.h"

namespace om::transfer {
namespace {

constexpr uint64_t kErrorBytesMax = 16 * 1024;
constexpr uint64_t kTokenBytesMax = 256 * 1024;
constexpr int kRedirectsMax = 5;
constexpr std::chrono::seconds kSmallRequestMax{60};
constexpr std::chrono::seconds kIdleMax{10};

using Response = std::unique_ptr<http::ClientResponse>;

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// "bytes 0-99/1234": the first byte and the whole size.
std::optional<std::pair<uint64_t, std::optional<uint64_t>>> parse_content_range(
    std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return {};
  text.remove_prefix(kUnit.size());
  uint64_t first = 0, size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), first);
  if (error != std::errc{}) return {};
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const auto total = text.substr(slash + 1);
  const auto parsed = std::from_chars(total.data(), total.data() + total.size(), size);
  if (parsed.ec != std::errc{}) return std::pair(first, std::optional<uint64_t>{});
  return std::pair(first, std::optional(size));
}

// What a person wants of an error body: the message of {"errors":[{"message"}]} or {"error"}, or
// its text.
std::string error_text(const std::string& body) {
  boost::system::error_code error;
  const auto value = boost::json::parse(body, error);
  if (!error && value.is_object()) {
    const auto* errors = value.get_object().if_contains("errors");
    if (errors && errors->is_array() && !errors->get_array().empty()) {
      const auto* first = errors->get_array().front().if_object();
      const auto* message = first ? first->if_contains("message") : nullptr;
      if (message && message->is_string()) return std::string(message->get_string());
    }
    const auto* only = value.get_object().if_contains("error");
    if (only && only->is_string()) return std::string(only->get_string());
  }
  return std::string(trim(std::string_view(body).substr(0, 500)));
}

}  // namespace

io::Task<Error> refusal(Response response) {
  const int status = response->status();
  const auto body = co_await response->read_all(kErrorBytesMax);
  if (status == 404) co_return Error{Errc::not_found, "file does not exist"};
  std::string text = fmt::format("{}: {}", status, body ? error_text(*body) : std::string());
  if (status == 401) co_return Error{Errc::unauthenticated, "unauthorized: access denied"};
  if (status == 403) co_return Error{Errc::forbidden, std::move(text)};
  const bool may_pass = status >= 500 || status == 429 || status == 408;
  co_return Error{may_pass ? Errc::unavailable : Errc::invalid_argument, std::move(text)};
}

Result<std::shared_ptr<Registry>> Registry::open(Context& context, const model::Name& name,
                                                 bool insecure) {
  if (name.scheme == "http" && !insecure) {
    return fail(Errc::invalid_argument, "insecure protocol http");
  }
  TRY(auto base, http::Url::parse(fmt::format("{}://{}/v2/{}/{}/", insecure ? "http" : "https",
                                              name.host, name.name_space, name.model)));
  return std::make_shared<Registry>(context, name, std::move(base));
}

http::Url Registry::url(std::string_view path) const {
  http::Url url = base_;
  url.target += path;
  return url;
}

bool Registry::is_own(const http::Url& url) const {
  return url.scheme == base_.scheme && url.port == base_.port && iequals(url.host, base_.host);
}

Result<http::Url> Registry::resolve(const http::Url& base, std::string_view location) const {
  if (location.starts_with('/') && !location.starts_with("//")) {
    http::Url url = base;
    url.target = location;
    return url;
  }
  TRY(auto url, http::Url::parse(location));
  if (base.scheme == "https" && url.scheme != "https") {
    return fail(Errc::forbidden, "{} redirects to {}, which is not encrypted; refused",
                base.authority(), url.authority());
  }
  return url;
}

io::Task<Result<Response>> Registry::send_to(http::Url url, http::ClientRequest request,
                                             io::Call call) {
  auto target = http::ClientRequest::to(request.method, url);
  target.outside = true;
  target.headers = request.headers;
  target.headers.set("User-Agent", std::string("ollamamax/") + kVersion);
  if (is_own(url) && !token_.empty()) target.headers.set("Authorization", "Bearer " + token_);
  target.body = std::move(request.body);
  target.body_source = std::move(request.body_source);
  target.body_length = request.body_length;
  auto response = co_await context_.client.send(std::move(target), call);
  if (!response) {
    Error error = annotate(std::move(response).error(), url.authority());
    // Some name servers deny for a moment what they told before; a pull must not end with that.
    if (error.code == Errc::not_found && has_answered_) error.code = Errc::unavailable;
    co_return fail(std::move(error));
  }
  has_answered_ = true;
  (*response)->set_idle_max(kIdleMax);
  co_return std::move(*response);
}

io::Task<Result<Response>> Registry::send(http::ClientRequest request, io::Call call) {
  http::Url url = base_;
  url.target = request.target;
  const bool can_repeat = !request.body_source;
  CO_TRY(auto response, co_await send_to(url, request, call));
  if (response->status() != 401 || !can_repeat) co_return std::move(response);
  CO_TRY_VOID(co_await renew(std::move(response), call));
  co_return co_await send_to(url, std::move(request), call);
}

io::Task<Result<void>> Registry::renew(Response refused, io::Call call) {
  std::string challenge(refused->headers().get("WWW-Authenticate"));
  const auto body = co_await refused->read_all(kErrorBytesMax);  // Also to keep the connection.
  refused.reset();
  auto login = login_url(challenge);
  if (!login) {
    Error error = std::move(login).error();
    const std::string said = body ? error_text(*body) : std::string();
    if (!said.empty()) error.what += fmt::format("; it says: {}", said);
    co_return fail(std::move(error));
  }
  co_return co_await log_in(std::move(*login), call);
}

Result<http::Url> Registry::login_url(std::string_view challenge_text) {
  TRY(const auto challenge, Challenge::parse(challenge_text));
  const std::string nonce = context_.world.random.letters(22);
  return token_url(challenge, base_, context_.world.clock.wall_now(), nonce);
}

io::Task<Result<void>> Registry::log_in(http::Url url, io::Call call) {
  CO_TRY(const auto key,
         security::RegistryKey::load_or_make(context_.world.files, context_.world.random,
                                             context_.options.key_path));
  shown_key_ = key.public_text();
  auto request = http::ClientRequest::to("GET", url);
  request.outside = true;
  request.headers.set("Authorization", token_authorization(key, "GET", url.str()));
  call = context_.world.clock.call_within(kSmallRequestMax, call);
  CO_TRY(auto response, co_await context_.client.send(std::move(request), call));
  if (response->status() >= 400) co_return fail(co_await refused(std::move(response)));
  CO_TRY(const auto body, co_await response->read_all(kTokenBytesMax));
  CO_TRY(token_, parse_token(body));
  co_return Result<void>{};
}

io::Task<Error> Registry::refused(Response response) {
  Error error = co_await refusal(std::move(response));
  const bool is_denied = error.code == Errc::unauthenticated || error.code == Errc::forbidden;
  if (is_denied && !shown_key_.empty()) {
    error.what += fmt::format("; the registry has to know this node's key ({}.pub): {}",
                              context_.options.key_path, shown_key_);
  }
  co_return error;
}

io::Task<Result<std::string>> Registry::get_manifest(io::Call call) {
  call = context_.world.clock.call_within(kSmallRequestMax, call);
  auto request = http::ClientRequest::to("GET", url("manifests/" + name_.tag));
  request.headers.set("Accept", model::kManifestMediaType);
  CO_TRY(auto response, co_await send(std::move(request), call));
  http::Url at = url("manifests/" + name_.tag);
  for (int i = 0; is_redirect(response->status()); i++) {
    if (i == kRedirectsMax) co_return fail(Errc::unavailable, "{}: too many redirects", at.str());
    CO_TRY(at, resolve(at, response->headers().get("Location")));
    http::ClientRequest again;
    again.headers.set("Accept", model::kManifestMediaType);
    CO_TRY(response, co_await send_to(at, std::move(again), call));
  }
  if (response->status() != 200) co_return fail(co_await refused(std::move(response)));
  co_return co_await response->read_all(store::kManifestBytesMax);
}

io::Task<Result<void>> Registry::put_manifest(std::string bytes, io::Call call) {
  call = context_.world.clock.call_within(kSmallRequestMax, call);
  auto request = http::ClientRequest::to("PUT", url("manifests/" + name_.tag));
  request.headers.set("Content-Type", model::kManifestMediaType);
  request.body = std::move(bytes);
  CO_TRY(auto response, co_await send(std::move(request), call));
  if (response->status() >= 300) co_return fail(co_await refused(std::move(response)));
  (void)co_await response->read_all(kErrorBytesMax);  // The status said it all.
  co_return Result<void>{};
}

io::Task<Result<bool>> Registry::has_blob(Digest digest, io::Call call) {
  call = context_.world.clock.call_within(kSmallRequestMax, call);
  auto request = http::ClientRequest::to("HEAD", url("blobs/" + digest.str()));
  CO_TRY(auto response, co_await send(std::move(request), call));
  const int status = response->status();
  if (status == 404) co_return false;
  if (status >= 400) co_return fail(co_await refused(std::move(response)));
  co_return true;  // Redirects too: it is stored elsewhere.
}

io::Task<Result<BlobResponse>> Registry::get_blob(Digest digest, uint64_t first, uint64_t last,
                                                  uint64_t size, io::Call call) {
  const std::string range = fmt::format("bytes={}-{}", first, last);
  http::Url at = url("blobs/" + digest.str());
  Response response;
  if (const auto direct = direct_.find(digest); direct != direct_.end()) {
    at = direct->second;
    http::ClientRequest request;
    request.headers.set("Range", range);
    CO_TRY(response, co_await send_to(at, std::move(request), call));
    if (response->status() >= 400) direct_.erase(digest);  // A signed URL expires: ask again.
  } else {
    auto request = http::ClientRequest::to("GET", at);
    request.headers.set("Range", range);
    CO_TRY(response, co_await send(std::move(request), call));
  }
  for (int i = 0; is_redirect(response->status()); i++) {
    if (i == kRedirectsMax) co_return fail(Errc::unavailable, "{}: too many redirects", at.str());
    CO_TRY(at, resolve(at, response->headers().get("Location")));
    http::ClientRequest request;
    request.headers.set("Range", range);
    CO_TRY(response, co_await send_to(at, std::move(request), call));
    if (response->status() < 300) direct_.insert_or_assign(digest, at);
  }
  if (response->status() >= 400 && response->status() != 416 && !is_own(at)) {
    direct_.erase(digest);
    const auto why = co_await refusal(std::move(response));
    co_return fail(Errc::unavailable, "{}: {}", at.authority(), why.what);
  }
  co_return co_await checked_range(std::move(response), first, size);
}

io::Task<Result<BlobResponse>> Registry::checked_range(Response response, uint64_t first,
                                                       uint64_t size) {
  const int status = response->status();
  std::optional<uint64_t> announced;
  if (status == 206) {
    const auto range = parse_content_range(response->headers().get("Content-Range"));
    if (!range || range->first != first) {
      co_return fail(Errc::corrupt, "the registry sent another range than asked for");
    }
    announced = range->second;
  } else if (status == 200) {
    announced = response->length();
  } else if (status == 416) {
    co_return fail(Errc::corrupt, "the registry's copy is shorter than the manifest says");
  } else {
    co_return fail(co_await refused(std::move(response)));
  }
  if (announced && *announced != size) {
    co_return fail(Errc::corrupt, "the registry has {} bytes where the manifest says {}",
                   *announced, size);
  }
  BlobResponse found;
  found.response = std::move(response);
  found.whole = status == 200;
  co_return found;
}

}  // namespace om::transfer
