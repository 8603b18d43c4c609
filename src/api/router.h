// Finds the handler for a method and a path, and runs it. An error that the handler returns becomes
// the answer, in the shape that its API's clients expect.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/error.h"
#include "api/pick_up.h"
#include "base/memory/arena.h"
#include "http/server.h"
#include "model/chat.h"

namespace om::api {

// One request on its way through a handler. Lives as long as the handler runs.
struct Context {
  http::Request& request;
  http::BodyReader& body;
  http::ResponseWriter& response;
  ErrorShape shape = ErrorShape::ollama;
  // Sent by a process of this machine, not by a foreign page in its browser: only such requests may
  // operate the node.
  bool from_operator = false;
  // Values of the pattern's ":name" and "*name" parts.
  std::vector<std::pair<std::string, std::string>> parameters = {};
  // Replaces the status of the returned error's code.
  std::optional<int> error_status = {};
  // Replaces the shape's element that tells an error at the end of a begun stream.
  std::optional<std::string> error_element = {};
  // The pattern that matched ("/api/blobs/:digest"), for metrics; empty: none did.
  std::string_view pattern = {};
  // The status answered, for the access log and metrics. 0: none yet. 499: the client has left.
  int status = 0;
  // Name of the model the request is about, for the access log; handlers set it.
  std::string model = {};
  // Holds the request's JSON; null until it was read.
  PooledArena arena = {};
  // Set if the client may pick the answer up again.
  std::optional<PickUp> pick_up = {};
  std::string body_fingerprint = {};  // With `pick_up`, when the body was read.
  // When the first piece of a streamed answer could be sent; needs `clock`.
  std::optional<io::TimePoint> first_piece = {};
  const io::Clock* clock = nullptr;

  std::string_view parameter(std::string_view name) const;  // Empty if the pattern has none.
  // Ends with request.cancel and has no deadline of its own.
  io::Call call() const { return io::Call{io::kNever, request.cancel}; }

  // Answer with these, not with `response`: they remember the status.
  io::Task<Result<void>> send(int status, std::string content_type, std::string body);
  io::Task<Result<void>> send_json(std::string body);  // 200, "application/json; charset=utf-8".
  // Streams: start() once, then write() with whole events, then response.finish().
  io::Task<Result<void>> start(std::string content_type);
  io::Task<Result<void>> write(std::string_view events);
  // Writes events that come before any part of the answer; may be empty.
  io::Task<Result<void>> write_opening(std::string events);
  // Call before writing a chunk (`was_kept`: Answer::was_kept()). not_found (410): the client has
  // more events, of another answer. `unsent` as EventNumbers::begin_new().
  Result<void> check_seen(bool was_kept, uint64_t unsent = 0);
};

// On success the handler has sent or finished the response. If it fails, the router writes the
// error: as status and body before the response has started, as the stream's last element
// afterwards.
using RouteHandler = std::function<io::Task<Result<void>>(Context&)>;

// Filled once at the start, then only read. On the io thread.
class Router {
 public:
  // Segments of `pattern`: literal, ":name" (one segment, not empty) or a last "*name" (the rest,
  // slashes included, not empty). Literal routes win over those with names.
  // Methods are upper case; "GET" does not answer HEAD unless that is added too.
  void add(std::string_view method, std::string_view pattern, ErrorShape shape,
           RouteHandler handler);

  // The path. If no pattern matches it, but one matches with doubled slashes joined and without a
  // slash at the end, then that: some clients put "/api/chat" behind an address that ends with a
  // slash. Ollama redirects them, but few clients follow with a POST.
  std::string known_path(std::string path) const;

  // Unknown path: 404 "404 page not found"; unknown method: 405 "405 method not allowed", both
  // text/plain, as Ollama answers them.
  io::Task<void> handle(Context& context) const;

 private:
  struct Route {
    std::string method;
    std::string pattern;
    std::vector<std::string> segments;
    ErrorShape shape;
    RouteHandler handler;
  };
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  bool has_match(std::string_view path) const;
  static bool matches(const Route& route, const std::vector<std::string_view>& path,
                      Parameters& parameters);
  io::Task<void> answer_error(Context& context, Error error) const;

  std::vector<Route> routes_;
};

}  // namespace om::api
