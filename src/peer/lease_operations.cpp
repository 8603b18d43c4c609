#include "peer/lease_operations.h"

#include "base/json_fields.h"
#include "engine/remote/peer_link.h"
#include "engine/remote/wire.h"
#include "peer/tunnel.h"

namespace om::peer {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPartLook{100};

std::string line_of(const json::object& object) { return json::serialize(object) + "\n"; }

}  // namespace

io::Task<Result<void>> embed(scheduler::Lease& lease, std::string body, LineStream& out,
                             io::Call call) {
  CO_TRY(const json::object question, engine::parse_line(body));
  const JsonFields fields(question);
  bool normalize = true;
  fields.read("normalize", normalize);
  const json::array* given = fields.array("tokens");
  if (!given) co_return fail(Errc::invalid_argument, "no tokens");
  std::vector<engine::Token> tokens = engine::decode_tokens(*given);
  CO_TRY(const engine::EmbeddingResult result,
         co_await lease.engine().embed(std::move(tokens), normalize, std::move(call)));
  json::array vector;
  vector.reserve(result.vector.size());
  for (const float number : result.vector) vector.emplace_back(number);
  const json::object answer{{"tokens", result.tokens}, {"vector", std::move(vector)}};
  co_return co_await out.write(line_of(answer));
}

io::Task<Result<void>> tokenize(scheduler::Lease& lease, std::string body, LineStream& out,
                                io::Call call) {
  CO_TRY(const json::object question, engine::parse_line(body));
  const JsonFields fields(question);
  bool add_special = false;
  fields.read("add_special", add_special);
  CO_TRY(const auto tokens,
         co_await lease.engine().tokenize(fields.text("text"), add_special, std::move(call)));
  const json::object answer{{"tokens", engine::encode_tokens(tokens)}};
  co_return co_await out.write(line_of(answer));
}

io::Task<Result<void>> detokenize(scheduler::Lease& lease, std::string body, LineStream& out,
                                  io::Call call) {
  CO_TRY(const json::object question, engine::parse_line(body));
  const json::array* given = JsonFields(question).array("tokens");
  if (!given) co_return fail(Errc::invalid_argument, "no tokens");
  std::vector<engine::Token> tokens = engine::decode_tokens(*given);
  CO_TRY(const std::string text,
         co_await lease.engine().detokenize(std::move(tokens), std::move(call)));
  const json::object answer{{"text", text}};
  co_return co_await out.write(line_of(answer));
}

io::Task<Result<void>> watch(io::Clock& clock, engine::Engine& engine, io::Call call) {
  while (engine.part_endpoint()) CO_TRY_VOID(co_await clock.sleep_for(kPartLook, call));
  co_return fail(Errc::unavailable, "its process ended");
}

io::Task<Result<void>> tunnel(io::World& world, engine::Engine& engine,
                              http::ResponseWriter& response, io::Call call) {
  const auto at = engine.part_endpoint();
  if (!at) co_return fail(Errc::unavailable, "this lease is on no part, or on one that ended");
  co_return co_await tunnel_to(world, *at, engine::kPartProtocol, response, std::move(call));
}

}  // namespace om::peer
