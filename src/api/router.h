// Finds the handler for a method and a path, and runs it: what a handler returns as an error
// becomes the answer, in the shape its API's clients expect.
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
  // Sent by a process of this machine, and not by a foreign page in its browser: only such a
  // request may look after the node.
  bool from_operator = false;
  // Values of the pattern's ":name" and "*name" parts.
  std::vector<std::pair<std::string, std::string>> parameters = {};
  // Instead of the status that the returned error's code maps to.
  std::optional<int> error_status = {};
  // Instead of its shape's element, what tells an error as the last of a stream that has begun.
  std::optional<std::string> error_element = {};
  // The pattern that matched ("/api/blobs/:digest"), for metrics; empty: none did.
  std::string_view pattern = {};
  // What was answered, for the access log and metrics: 0 until something was, 499: client gone.
  int status = 0;
  // Name of the model the request is about, for the access log; handlers set it.
  std::string model = {};
  // Where the request's JSON is; null until it was read.
  PooledArena arena = {};
  // Of a client that wants to pick its answer up again, if need be.
  std::optional<PickUp> pick_up = {};
  std::string body_fingerprint = {};  // With `pick_up`, when the body was read.
  // When the first piece of a streamed answer was there to be sent; not known without the clock.
  std::optional<io::TimePoint> first_piece = {};
  const io::Clock* clock = nullptr;

  std::string_view parameter(std::string_view name) const;  // Empty if the pattern has none.
  // Ends with request.cancel and has no deadline of its own.
  io::Call call() const { return io::Call{io::kNever, request.cancel}; }

  // Answer with these rather than with `response`: they remember the status.
  io::Task<Result<void>> send(int status, std::string content_type, std::string body);
  io::Task<Result<void>> send_json(std::string body);  // 200, "application/json; charset=utf-8".
  // Streams: start() once, then write() with whole events, then response.finish().
  io::Task<Result<void>> start(std::string content_type);
  io::Task<Result<void>> write(std::string_view events);
  // The same of events that are sent before anything of the answer is there; may be empty.
  io::Task<Result<void>> write_opening(std::string events);
  // Before a chunk is written that was not kept before (Answer::was_kept): not_found (410) if the
  // client has more of another answer. `unsent` as EventNumbers::begin_new().
  Result<void> check_seen(bool was_kept, uint64_t unsent = 0);
};

// May fail before the response is started (answered with status and body) or after it (told as
// the stream's last element); either way the router writes the answer. On success the handler
// has sent or finished the response.
using RouteHandler = std::function<io::Task<Result<void>>(Context&)>;

// Filled once at the start, then only read. On the io thread.
class Router {
 public:
  // Segments of `pattern`: literal, ":name" (one segment, not empty) or a last "*name" (the rest,
  // slashes included, not empty). Literal routes win over those with names.
  // Methods are upper case; "GET" does not answer HEAD unless that is added too.
  void add(std::string_view method, std::string_view pattern, ErrorShape shape,
           RouteHandler handler);

  // The path; if only so a pattern matches it, with doubled slashes joined and without one at its
  // end: some clients put "/api/chat" behind an address that ends with a slash. Ollama redirects
  // them, but few follow with a POST.
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
