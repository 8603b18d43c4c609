#include "app/cli/api_client.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr uint64_t kReplyMax = uint64_t{256} << 20;

// The text of {"error": "..."} or {"error": {"message": "..."}}; else the body itself.
std::string error_text(const std::string& body, int status) {
  boost::system::error_code error;
  const json::value value = json::parse(body, error);
  if (!error && value.is_object()) {
    if (const json::value* told = value.as_object().if_contains("error")) {
      if (told->is_string()) return std::string(told->as_string());
      if (told->is_object() && told->as_object().contains("message")) {
        const json::value& message = told->as_object().at("message");
        if (message.is_string()) return std::string(message.as_string());
      }
    }
  }
  if (!body.empty() && body.size() < 1000) return body;
  return fmt::format("the server answered {} {}", status, http::reason_phrase(status));
}

Errc code_of(int status) {
  if (status == 404) return Errc::not_found;
  if (status == 503 || status == 429) return Errc::overloaded;
  if (status >= 400 && status < 500) return Errc::invalid_argument;
  return Errc::internal;
}

Result<json::value> parse_reply(const std::string& body) {
  if (body.empty()) return json::value(nullptr);
  boost::system::error_code error;
  json::value value = json::parse(body, error);
  if (error) return fail(Errc::corrupt, "the server's answer is not JSON: {}", error.message());
  return value;
}

}  // namespace

Result<std::string> path_to(std::string_view folder, std::string_view name) {
  if (!name.empty() && !name.contains('/')) {
    return std::string(folder) + http::percent_encode(name);
  }
  return fail(Errc::invalid_argument, "'{}' is no name: it is empty, or has a '/'", name);
}

ApiClient::ApiClient(io::World& world, HostPort host, std::string api_key)
    : world_(world), host_(std::move(host)), api_key_(std::move(api_key)), client_(world) {}

http::ClientRequest ApiClient::request_to(std::string method, const std::string& path) const {
  http::Url url;
  url.scheme = host_.scheme;
  // A server that listens everywhere is reached on this machine.
  url.host = host_.host == "0.0.0.0" ? "127.0.0.1" : host_.host == "::" ? "::1" : host_.host;
  url.port = host_.port;
  url.target = host_.path + path;
  auto request = http::ClientRequest::to(std::move(method), url);
  if (!api_key_.empty()) request.headers.set("Authorization", "Bearer " + api_key_);
  return request;
}

Error ApiClient::explain(Error error) const {
  if (error.code != Errc::unavailable && error.code != Errc::not_found) return error;
  return {error.code,
          fmt::format("could not connect to a server at {}://{} ({}), run 'ollamamax serve' to "
                      "start it",
                      host_.scheme, io::Endpoint::tcp(host_.host, host_.port).str(), error.what)};
}

io::Task<Result<std::unique_ptr<http::ClientResponse>>> ApiClient::send(std::string method,
                                                                        std::string path,
                                                                        std::string body,
                                                                        io::CancelToken cancel) {
  auto request = request_to(std::move(method), path);
  request.body = std::move(body);
  request.headers.set("Content-Type", "application/json");
  request.headers.set("Accept", "application/x-ndjson, application/json");
  io::Call call{io::kNever, std::move(cancel)};
  auto response = co_await client_.send(std::move(request), std::move(call));
  if (!response) co_return fail(explain(response.error()));
  const int status = (*response)->status();
  if (status < 400) co_return std::move(*response);
  CO_TRY(const std::string text, co_await (*response)->read_all(kReplyMax));
  co_return fail(Error{code_of(status), error_text(text, status)});
}

io::Task<Result<json::value>> ApiClient::get(std::string path, io::CancelToken cancel) {
  CO_TRY(auto response, co_await send("GET", std::move(path), "", std::move(cancel)));
  CO_TRY(const std::string body, co_await response->read_all(kReplyMax));
  co_return parse_reply(body);
}

io::Task<Result<std::string>> ApiClient::get_text(std::string path) {
  CO_TRY(auto response, co_await send("GET", std::move(path), "", {}));
  co_return co_await response->read_all(kReplyMax);
}

io::Task<Result<json::value>> ApiClient::post(std::string path, json::object body,
                                              io::CancelToken cancel) {
  co_return co_await post_text(std::move(path), json::serialize(body), std::move(cancel));
}

io::Task<Result<json::value>> ApiClient::post_text(std::string path, std::string body,
                                                   io::CancelToken cancel) {
  CO_TRY(auto response, co_await send("POST", std::move(path), std::move(body), std::move(cancel)));
  CO_TRY(const std::string reply, co_await response->read_all(kReplyMax));
  co_return parse_reply(reply);
}

io::Task<Result<json::value>> ApiClient::put(std::string path, json::object body) {
  CO_TRY(auto response, co_await send("PUT", std::move(path), json::serialize(body), {}));
  CO_TRY(const std::string reply, co_await response->read_all(kReplyMax));
  co_return parse_reply(reply);
}

io::Task<Result<void>> ApiClient::remove(std::string path, json::object body) {
  CO_TRY(auto response, co_await send("DELETE", std::move(path), json::serialize(body), {}));
  const auto reply =
      co_await response->read_all(kReplyMax);  // Empty; its end frees the connection.
  co_return reply ? Result<void>{} : Result<void>(fail(reply.error()));
}

io::Task<Result<std::unique_ptr<LineStream>>> ApiClient::stream(std::string path, json::object body,
                                                                io::CancelToken cancel) {
  CO_TRY(auto response,
         co_await send("POST", std::move(path), json::serialize(body), std::move(cancel)));
  co_return std::make_unique<LineStream>(std::move(response));
}

io::Task<Result<bool>> ApiClient::has_blob(Digest digest) {
  auto response = co_await send("HEAD", "/api/blobs/" + digest.str(), "", {});
  if (response) co_return true;
  if (response.error().code == Errc::not_found) co_return false;
  co_return fail(response.error());
}

namespace {

// Reads a file piece by piece for the body of an upload.
struct FileSource {
  io::World& world;
  std::shared_ptr<io::File> file;
  ApiClient::UploadProgress progress;
  uint64_t offset = 0;
  static constexpr size_t kPiece = size_t{1} << 20;

  io::Task<Result<std::string>> next() {
    auto read = [this]() -> Result<std::string> {
      std::string piece(kPiece, '\0');
      TRY(const size_t count, file->read_at(offset, piece));
      piece.resize(count);
      return piece;
    };
    CO_TRY(std::string piece, co_await world.workers.run(read));
    offset += piece.size();
    progress(offset);
    co_return piece;
  }
};

}  // namespace

io::Task<Result<void>> ApiClient::upload_blob(Digest digest, std::string path,
                                              UploadProgress progress) {
  CO_TRY(auto file, world_.files.open(path, io::Filesystem::Open::read));
  auto request = request_to("POST", "/api/blobs/" + digest.str());
  CO_TRY(request.body_length, file->size());
  auto source = std::make_shared<FileSource>(
      FileSource{world_, std::shared_ptr<io::File>(std::move(file)), std::move(progress)});
  request.body_source = [source] { return source->next(); };
  auto response = co_await client_.send(std::move(request), {});
  if (!response) co_return fail(explain(response.error()));
  CO_TRY(const std::string reply, co_await (*response)->read_all(kReplyMax));
  const int status = (*response)->status();
  if (status >= 400) co_return fail(Error{code_of(status), error_text(reply, status)});
  co_return Result<void>{};
}

io::Task<Result<std::optional<json::object>>> LineStream::next() {
  while (true) {
    const size_t end = buffer_.find('\n');
    if (end == std::string::npos && !ended_) {
      if (buffer_.size() > kLineMax) co_return fail(Errc::corrupt, "a line without end");
      CO_TRY(const bool more, co_await response_->read_some(buffer_));
      ended_ = !more;
      continue;
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end == std::string::npos ? buffer_.size() : end + 1);
    if (line.find_first_not_of(" \r\t") == std::string::npos) {
      if (ended_ && buffer_.empty()) co_return std::optional<json::object>{};
      continue;
    }
    CO_TRY(json::value value, parse_reply(line));
    if (!value.is_object()) co_return fail(Errc::corrupt, "a line that is no JSON object");
    if (value.as_object().contains("error")) {
      co_return fail(Error{Errc::internal, error_text(line, 500)});
    }
    co_return std::move(value.as_object());
  }
}

}  // namespace om::app
