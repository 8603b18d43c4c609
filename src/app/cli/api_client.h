// Speaks to a node (ours or an Ollama) over its HTTP API, for the command line.
#pragma once

#include <boost/json.hpp>
#include <memory>
#include <optional>
#include <string>

#include "app/settings.h"
#include "base/digest.h"
#include "http/client.h"
#include "io/world.h"

namespace om::app {

// The lines of a streamed answer, each a JSON object. A line {"error": ...} ends it as an error.
class LineStream {
 public:
  explicit LineStream(std::unique_ptr<http::ClientResponse> response)
      : response_(std::move(response)) {}
  // nullopt at the end. corrupt: a line that is not JSON.
  io::Task<Result<std::optional<boost::json::object>>> next();
  const http::Headers& headers() const { return response_->headers(); }

 private:
  static constexpr size_t kLineMax = size_t{64} << 20;
  std::unique_ptr<http::ClientResponse> response_;
  std::string buffer_;
  bool ended_ = false;
};

// The path of `name` in `folder`, escaped as needed. invalid_argument: no path can end with it.
Result<std::string> path_to(std::string_view folder, std::string_view name);

// One per command. Errors carry the server's own words; unavailable says that no server answers.
class ApiClient {
 public:
  // `api_key`: shown to the server; empty: none.
  ApiClient(io::World& world, HostPort host, std::string api_key);

  io::Task<Result<boost::json::value>> get(std::string path, io::CancelToken cancel = {});
  io::Task<Result<std::string>> get_text(std::string path);
  io::Task<Result<boost::json::value>> post(std::string path, boost::json::object body,
                                            io::CancelToken cancel = {});
  io::Task<Result<boost::json::value>> post_text(std::string path, std::string body,
                                                 io::CancelToken cancel = {});
  io::Task<Result<boost::json::value>> put(std::string path, boost::json::object body);
  io::Task<Result<void>> remove(std::string path, boost::json::object body);
  io::Task<Result<std::unique_ptr<LineStream>>> stream(std::string path, boost::json::object body,
                                                       io::CancelToken cancel = {});

  // True if the server has the blob already.
  io::Task<Result<bool>> has_blob(Digest digest);
  using UploadProgress = std::function<void(uint64_t sent)>;
  io::Task<Result<void>> upload_blob(Digest digest, std::string path, UploadProgress progress);

  io::World& world() { return world_; }

 private:
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> send(std::string method, std::string path,
                                                               std::string body,
                                                               io::CancelToken cancel);
  http::ClientRequest request_to(std::string method, const std::string& path) const;
  Error explain(Error error) const;

  io::World& world_;
  HostPort host_;
  std::string api_key_;
  http::Client client_;
};

}  // namespace om::app
