#include "http/upgrade.h"

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "http/client_exchange.h"
#include "http/server_connection.h"

namespace om::http {
namespace {

constexpr size_t kAnswerBytesMax = 16 * 1024;

// What the connection's read-ahead brings, and its writes.
class UpgradedStream final : public io::Stream {
 public:
  explicit UpgradedStream(Connection& connection) : connection_(connection) {}

  io::Task<Result<size_t>> read_some(std::span<char> into) override {
    ReadAhead& input = connection_.input();
    if (input.bytes().empty()) {
      const auto more = co_await input.more(deadline_);
      if (!more) {
        // A side that was closed is an end, as of every stream.
        if (more.error().code == Errc::unavailable) co_return size_t{0};
        co_return fail(more.error());
      }
    }
    const size_t count = std::min(into.size(), input.bytes().size());
    const std::string_view piece = input.bytes().substr(0, count);
    std::ranges::copy(piece, into.begin());
    input.consume(count);
    co_return count;
  }

  io::Task<Result<void>> write(std::span<const std::string_view> parts) override {
    for (const std::string_view part : parts) {
      CO_TRY_VOID(co_await connection_.write({part}, true));
    }
    co_return Result<void>{};
  }

  void set_deadline(io::TimePoint deadline) override { deadline_ = deadline; }
  void abort() override { connection_.abort(); }
  bool is_idle() override { return false; }
  std::string peer() const override { return connection_.peer(); }
  bool from_this_machine() const override { return connection_.from_this_machine(); }

 private:
  Connection& connection_;
  io::TimePoint deadline_ = io::kNever;
};

io::Task<Result<void>> read_agreement(io::Stream& stream) {
  HeadLimits limits;
  limits.bytes_max = kAnswerBytesMax;
  HeadScanner scanner(limits);
  std::string text;
  std::array<char, 4096> piece{};
  size_t length = 0;
  while (length == 0) {
    CO_TRY(const size_t count, co_await stream.read_some(piece));
    if (count == 0) co_return fail(Errc::unavailable, "the server closed the connection");
    text.append(piece.data(), count);
    length = scanner.scan(text);
    if (scanner.refused()) co_return fail(Errc::corrupt, "{}", scanner.refused().why);
  }
  ResponseHead head;
  if (const Refusal refusal = parse_response_head(text, limits, head)) {
    co_return fail(Errc::corrupt, "{}", refusal.why);
  }
  const std::string_view rest = std::string_view(text).substr(length);
  if (head.status != 101) {
    co_return fail(Errc::unavailable, "refused with {}: {}", head.status, trim(rest));
  }
  if (!rest.empty()) co_return fail(Errc::corrupt, "the server spoke first");
  co_return Result<void>{};
}

}  // namespace

io::Task<Result<std::unique_ptr<io::Stream>>> Response::upgrade(std::string protocol) {
  CHECK(!started_, "an upgrade after the response began");
  headers_.set("Upgrade", protocol);
  std::string head = make_head(101, {}, {});
  keep_alive_ = false;
  CO_TRY_VOID(co_await connection_.write({head}, false));
  co_return std::make_unique<UpgradedStream>(connection_);
}

io::Task<Result<std::unique_ptr<io::Stream>>> upgrade(io::World& world, ClientRequest request,
                                                      std::string protocol, io::Call call) {
  request.headers.set("Connection", "Upgrade");
  request.headers.set("Upgrade", protocol);
  CO_TRY(const std::string head, make_request_head(request));
  CO_TRY(auto stream, co_await world.network.connect(request.endpoint, request.tls, call));
  stream->set_deadline(call.deadline);
  Result<void> agreed;
  {
    const io::OnCancel on_cancel(call.cancel, [&stream] { stream->abort(); });
    agreed = co_await stream->write(head);
    if (agreed) agreed = co_await read_agreement(*stream);
  }
  if (!agreed) {
    co_return fail(annotate(std::move(agreed).error(), "upgrade at " + request.endpoint.str()));
  }
  stream->set_deadline(io::kNever);
  co_return stream;
}

}  // namespace om::http
