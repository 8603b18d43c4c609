#include "sim/fake_part.h"

#include <cstring>

#include "base/check.h"
#include "base/strings.h"

namespace om::sim {
namespace {

constexpr uint64_t kWeightsMax = 64 << 10;
constexpr size_t kNumberBytes = sizeof(uint64_t);

uint64_t mix(uint64_t key, std::string_view bytes) {
  for (const char c : bytes) key = (key ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return key;
}

uint64_t key_of(std::string_view weights) { return mix(0xcbf29ce484222325, weights); }

std::string text_of(uint64_t number) {
  std::string text(kNumberBytes, '\0');
  std::memcpy(text.data(), &number, kNumberBytes);
  return text;
}

// A part's answer to a number.
uint64_t changed(uint64_t key, uint64_t number) { return mix(key, text_of(number)); }

io::Task<Result<std::string>> read_exactly(io::Stream& stream, size_t count) {
  std::string bytes(count, '\0');
  size_t have = 0;
  while (have < count) {
    CO_TRY(const size_t read, co_await stream.read_some(std::span(bytes).subspan(have)));
    if (read == 0) co_return fail(Errc::unavailable, "the other side has ended");
    have += read;
  }
  co_return bytes;
}

io::Task<Result<uint64_t>> read_number(io::Stream& stream) {
  CO_TRY(const std::string bytes, co_await read_exactly(stream, kNumberBytes));
  uint64_t number = 0;
  std::memcpy(&number, bytes.data(), kNumberBytes);
  co_return number;
}

io::Task<Result<void>> serve_main(io::Stream& stream) {
  CO_TRY(const uint64_t size, co_await read_number(stream));
  CHECK(size <= kWeightsMax, "the weights of a part came wrong");
  CO_TRY(const std::string weights, co_await read_exactly(stream, size));
  const uint64_t key = key_of(weights);
  while (true) {
    CO_TRY(const uint64_t number, co_await read_number(stream));
    CO_TRY_VOID(co_await stream.write(text_of(changed(key, number))));
  }
}

}  // namespace

io::Task<Result<void>> serve_part(io::World& world, uint16_t port, io::CancelToken stop) {
  CO_TRY(const auto listener, world.network.listen(io::Endpoint::tcp("127.0.0.1", port), nullptr));
  std::unique_ptr<io::Stream> stream;
  const io::OnCancel on_cancel(stop, [&] {
    listener->close();
    if (stream) stream->abort();
  });
  while (!stop.cancelled()) {
    auto accepted = co_await listener->accept();
    if (!accepted) break;
    stream = std::move(*accepted);
    const auto served = co_await serve_main(*stream);
    (void)served;  // Whoever came has gone.
    stream.reset();
  }
  co_return Result<void>{};
}

FakeParts::FakeParts(io::World& world, std::string_view servers)
    : world_(world), passed_(world.clock) {
  for (const std::string_view server : split(servers, ',')) {
    const size_t colon = server.rfind(':');
    const auto port = parse_number<uint16_t>(server.substr(colon + 1));
    CHECK(port.has_value(), "--rpc has no port");
    held_.push_back({io::Endpoint::tcp(std::string(server.substr(0, colon)), *port), nullptr, 0});
  }
}

FakeParts::~FakeParts() = default;

void FakeParts::abort() {
  for (Held& held : held_) {
    if (held.stream) held.stream->abort();
  }
}

io::Task<Result<void>> FakeParts::load(io::CancelToken stop) {
  for (Held& held : held_) {
    CO_TRY(held.stream, co_await world_.network.connect(held.at, nullptr, {io::kNever, stop}));
  }
  const io::OnCancel on_cancel(stop, [this] { abort(); });
  for (Held& held : held_) CO_TRY_VOID(co_await load_one(held));
  co_return Result<void>{};
}

io::Task<Result<void>> FakeParts::load_one(Held& held) {
  const std::string weights = world_.random.letters(kWeightsMax / 2 + held.at.port % 1000);
  held.key = key_of(weights);
  CO_TRY_VOID(co_await held.stream->write(text_of(weights.size())));
  co_return co_await held.stream->write(weights);
}

io::Task<Result<void>> FakeParts::pass(io::CancelToken stop) {
  while (passing_) CO_TRY_VOID(co_await passed_.wait({io::kNever, stop}));
  if (stop.cancelled()) co_return fail(Errc::cancelled, "the process has ended");
  passing_ = true;
  const io::OnCancel on_cancel(stop, [this] { abort(); });
  const auto done = co_await pass_all();
  passing_ = false;
  passed_.notify_one();
  co_return done;
}

io::Task<Result<void>> FakeParts::pass_all() {
  uint64_t number = 1;
  for (Held& held : held_) {
    CO_TRY_VOID(co_await held.stream->write(text_of(number)));
    CO_TRY(const uint64_t answer, co_await read_number(*held.stream));
    CHECK(answer == changed(held.key, number), "a tunnel came out at the wrong part");
    number = answer;
  }
  co_return Result<void>{};
}

}  // namespace om::sim
