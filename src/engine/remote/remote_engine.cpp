#include "engine/remote/remote_engine.h"

#include "base/check.h"
#include "base/json_fields.h"
#include "base/log.h"
#include "engine/metrics.h"
#include "http/upgrade.h"

namespace om::engine {

namespace json = boost::json;

// The pieces of a completion that runs on another node.
class RemoteCompletion final : public Completion {
 public:
  // `call` is the one that `reader` was opened with.
  RemoteCompletion(RemoteEngine& engine, LineReader reader, io::Call call)
      : engine_(engine), reader_(std::move(reader)), call_(std::move(call)) {
    reader_.set_silence_max(kAnswerSilenceMax);
  }

  io::Task<Result<Piece>> next() override {
    CHECK(!done_, "next() after the end");
    if (!last_) {
      auto line = co_await reader_.next();
      while (!line && reader_.cut() && attaches_++ < kAttachesMax) {
        const bool again = co_await attach();
        if (!again) break;
        line = co_await reader_.next();
      }
      if (!line) co_return fail(broken(std::move(line).error()));
      if (auto piece = read(*line)) co_return std::move(*piece);
    }
    // The connection serves the next request, if the answer is read to its end.
    done_ = true;
    co_await reader_.finish();
    co_return std::move(*last_);
  }

  std::optional<Result<Piece>> ready() override {
    if (last_) return std::nullopt;
    auto line = reader_.ready();
    if (!line) return std::nullopt;
    if (!*line) return fail(broken(std::move(*line).error()));
    auto piece = read(**line);
    if (!piece) return std::nullopt;  // The last one: next() can wait for the end of the answer.
    return std::move(*piece);
  }

 private:
  // Keeps the last piece for next(), and gives any other.
  std::optional<Piece> read(const json::object& line) {
    lines_++;
    attaches_ = 0;
    Piece piece = decode_piece(line);
    if (!piece.done) return piece;
    last_ = std::move(piece);
    return std::nullopt;
  }

  Error broken(Error error) {
    if (reader_.lost()) engine_.lost_ = true;
    return error;
  }

  // The runner may live and only the connection be gone: then nothing is to be computed again.
  io::Task<bool> attach() {
    const std::string operation = fmt::format("attach?from={}", lines_);
    auto reader = co_await engine_.open(operation, {}, call_);
    if (!reader) co_return false;
    reattached.add();
    log_info("connection broke, reading on", field("node", engine_.link_.node),
             field("lines", lines_));
    reader_ = std::move(*reader);
    reader_.set_silence_max(kAnswerSilenceMax);
    co_return true;
  }

  RemoteEngine& engine_;
  LineReader reader_;
  io::Call call_;
  size_t lines_ = 1;  // The first one told that the runner took the request.
  int attaches_ = 0;  // Since the last piece.
  std::optional<Piece> last_;
  bool done_ = false;
};

io::Task<Result<LineReader>> RemoteEngine::open(std::string_view operation, std::string body,
                                                io::Call call) {
  auto request = link_.request("POST", fmt::format("{}/{}", path_, operation), std::move(body));
  auto reader = co_await LineReader::open(world_.clock, client_, link_, std::move(request), call);
  if (!reader) {
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the request was cancelled");
    // A lease that is unknown there is a node that was started again; forbidden is who is no member
    // any more.
    Error error = std::move(reader).error();
    const bool link_broke = error.code == Errc::unavailable || error.code == Errc::not_found ||
                            error.code == Errc::unauthenticated || error.code == Errc::forbidden;
    if (link_broke) {
      lost_ = true;
      error.code = Errc::unavailable;
    }
    co_return fail(annotate(std::move(error), "node " + link_.node));
  }
  co_return std::move(*reader);
}

io::Task<Result<json::object>> RemoteEngine::ask(std::string_view operation, std::string body,
                                                 io::Call call) {
  CO_TRY(LineReader reader, co_await open(operation, std::move(body), std::move(call)));
  auto line = co_await reader.next();
  if (!line) {
    if (reader.lost()) lost_ = true;
    co_return fail(std::move(line).error());
  }
  co_await reader.finish();
  co_return std::move(*line);
}

io::Task<Result<std::unique_ptr<Completion>>> RemoteEngine::complete(CompletionRequest request,
                                                                     io::Call call) {
  std::string body = encode_completion(request);
  CO_TRY(LineReader reader, co_await open("complete", std::move(body), call));
  // The first line tells that the runner took it: errors of the request come from here.
  auto started = co_await reader.next();
  if (!started) {
    if (reader.lost()) lost_ = true;
    co_return fail(std::move(started).error());
  }
  co_return std::make_unique<RemoteCompletion>(*this, std::move(reader), std::move(call));
}

io::Task<Result<EmbeddingResult>> RemoteEngine::embed(std::vector<Token> tokens, bool normalize,
                                                      io::Call call) {
  const json::object question{{"tokens", encode_tokens(tokens)}, {"normalize", normalize}};
  CO_TRY(const json::object line,
         co_await ask("embed", json::serialize(question), std::move(call)));
  EmbeddingResult result;
  const JsonFields fields(line);
  fields.read("tokens", result.tokens);
  if (const json::array* vector = fields.array("vector")) {
    result.vector.reserve(vector->size());
    for (const json::value& number : *vector) {
      if (number.is_number()) result.vector.push_back(number.to_number<float>());
    }
  }
  if (result.vector.empty()) co_return fail(Errc::corrupt, "node {}: no vector", link_.node);
  co_return result;
}

io::Task<Result<std::vector<Token>>> RemoteEngine::tokenize(std::string text, bool add_special,
                                                            io::Call call) {
  const json::object question{{"text", text}, {"add_special", add_special}};
  CO_TRY(const json::object line,
         co_await ask("tokenize", json::serialize(question), std::move(call)));
  const json::array* tokens = JsonFields(line).array("tokens");
  if (!tokens) co_return fail(Errc::corrupt, "node {}: no tokens", link_.node);
  co_return decode_tokens(*tokens);
}

io::Task<Result<std::string>> RemoteEngine::detokenize(std::vector<Token> tokens, io::Call call) {
  const json::object question{{"tokens", encode_tokens(tokens)}};
  CO_TRY(const json::object line,
         co_await ask("detokenize", json::serialize(question), std::move(call)));
  co_return JsonFields(line).text("text");
}

io::Task<Result<std::unique_ptr<io::Stream>>> RemoteEngine::tunnel(io::Call call) {
  auto request = link_.request("POST", path_ + "/tunnel");
  auto stream =
      co_await http::upgrade(world_, std::move(request), std::string(kPartProtocol), call);
  if (!stream) co_return fail(annotate(std::move(stream).error(), "node " + link_.node));
  co_return std::move(*stream);
}

io::Task<Error> RemoteEngine::watch(io::CancelToken cancel) {
  auto reader = co_await open("watch", {}, {io::kNever, cancel});
  if (!reader) co_return std::move(reader).error();
  while (true) {
    auto line = co_await reader->next();
    if (line) continue;
    if (reader->lost()) lost_ = true;
    co_return std::move(line).error();
  }
}

}  // namespace om::engine
