// A llama-server without a model, as a process: what the benchmarks put behind a node or a proxy,
// so that everything that is measured is the gateway's own work.
//
//   fake_llama_server --host PATH.sock | --host ADDRESS --port N [anything else is ignored]
//
// Takes llama-server's command line, so that a node starts it as its runner. FAKE_TOKEN_US is the
// pause between two tokens (0: none); FAKE_NONSENSE makes it fail (garbage, endless_line,
// bad_utf8). The text of every token is the time it was made, 15 digits of nanoseconds, for the
// latency of each token at the other end. On a TCP port it also answers /v1/chat/completions and
// /v1/models, which routers for language models expect.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "base/check.h"
#include "http/server.h"
#include "io/real.h"
#include "sim/fake_llama.h"

namespace {

using namespace om;

constexpr uint64_t kBodyMax = uint64_t{64} << 20;

std::string stamp() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);  // The same in every process of the machine.
  return fmt::format("{:015}", time.tv_sec * 1'000'000'000LL + time.tv_nsec);
}

struct Arguments {
  std::string host = "127.0.0.1";
  int port = 8080, slots = 1, context = 4096;
};

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  int total = 0;
  bool unified = false;
  for (int i = 1; i < argc; i++) {
    const std::string_view word = argv[i];
    if (word == "--kv-unified") unified = true;
    if (i + 1 == argc) break;
    if (word == "--host") arguments.host = argv[i + 1];
    if (word == "--port") arguments.port = std::atoi(argv[i + 1]);
    if (word == "-np") arguments.slots = std::atoi(argv[i + 1]);
    if (word == "-c") total = std::atoi(argv[i + 1]);
  }
  if (total > 0) arguments.context = unified ? total / arguments.slots : total;
  return arguments;
}

// What an OpenAI-speaking engine streams: the same tokens at the same pace as /completion.
class OpenaiFront {
 public:
  OpenaiFront(io::World& world, io::Duration token_time) : world_(world), token_time_(token_time) {}

  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) {
    auto text = co_await body.read_all(kBodyMax);
    if (!text) co_return;
    Result<void> sent;
    if (request.path == "/v1/chat/completions") {
      sent = co_await chat(request, std::move(*text), response);
    } else if (request.path == "/v1/models") {
      std::string models = R"({"object":"list","data":[{"id":"fake","object":"model"}]})";
      sent = co_await response.send(200, "application/json", std::move(models));
    } else {
      sent = co_await response.send(200, "application/json", R"({"status":"ok"})");
    }
    (void)sent.has_value();  // Who asked has left: nothing to tell.
  }

 private:
  io::Task<Result<void>> chat(http::Request& request, std::string text,
                              http::ResponseWriter& response) {
    boost::system::error_code error;
    const auto value = boost::json::parse(text, error);
    const auto* wanted =
        !error && value.is_object() ? value.get_object().if_contains("max_tokens") : nullptr;
    const int64_t limit = wanted != nullptr && wanted->is_int64() ? wanted->get_int64() : 16;
    CO_TRY_VOID(co_await response.start(200, "text/event-stream"));
    for (int64_t i = 0; i < limit; i++) {
      if (token_time_ > io::Duration::zero()) {
        const io::Call call{io::kNever, request.cancel};
        CO_TRY_VOID(co_await world_.clock.sleep_for(token_time_, call));
      }
      const std::string event =
          fmt::format(R"(data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,)"
                      R"("model":"fake","choices":[{{"index":0,"delta":{{"content":"{}"}},)"
                      R"("finish_reason":null}}]}})"
                      "\n\n",
                      stamp());
      CO_TRY_VOID(co_await response.write(event));
    }
    CO_TRY_VOID(co_await response.write("data: [DONE]\n\n"));
    co_return co_await response.finish();
  }

  io::World& world_;
  io::Duration token_time_;
};

// FAKE_NONSENSE: what comes after the fifth token.
void add_nonsense(std::string_view kind, sim::FakeLlamaBehaviour& behaviour) {
  if (kind.empty()) return;
  behaviour.garbage_after_tokens = 5;
  if (kind == "endless_line") behaviour.garbage = "data: " + std::string(8 << 20, 'x');
  if (kind == "bad_utf8") {
    behaviour.garbage = "data: {\"content\":\"\xff\xfe\",\"tokens\":[1],\"stop\":false}\n\n";
  }
}

io::Task<void> serve(sim::FakeLlama& llama, io::Endpoint at) {
  auto served = co_await llama.serve(std::move(at), {});
  CHECK(served.has_value(), served ? "" : served.error().what);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = read_arguments(argc, argv);
  const char* pause = std::getenv("FAKE_TOKEN_US");
  sim::FakeLlamaBehaviour behaviour;
  behaviour.token_time = std::chrono::microseconds(pause != nullptr ? std::atoi(pause) : 0);
  behaviour.context_length = arguments.context;
  behaviour.slots = arguments.slots;
  behaviour.never_ends = true;
  behaviour.content = stamp;
  const char* nonsense = std::getenv("FAKE_NONSENSE");
  add_nonsense(nonsense != nullptr ? nonsense : "", behaviour);
  io::RealWorld real;
  io::World& world = real.world();
  real.on_signal({SIGTERM}, [](int) { std::_Exit(0); });
  sim::FakeLlama llama(world, behaviour, [] { std::_Exit(1); });
  OpenaiFront front(world, behaviour.token_time);
  http::Server server(world, {}, [&front](auto& request, auto& body, auto& response) {
    return front.handle(request, body, response);
  });
  if (arguments.host.ends_with(".sock")) {
    real.run_until_done(serve(llama, io::Endpoint::unix_socket(arguments.host)));
    return 0;
  }
  const auto port = static_cast<uint16_t>(arguments.port);
  const auto listening = server.listen(io::Endpoint::tcp(arguments.host, port));
  CHECK(listening.has_value(), listening ? "" : listening.error().what);
  // Next to it what the node's runner speaks, for proxies that are to pass on the very same bytes.
  const auto next = static_cast<uint16_t>(arguments.port + 1);
  real.run_until_done(serve(llama, io::Endpoint::tcp(arguments.host, next)));
  return 0;
}
