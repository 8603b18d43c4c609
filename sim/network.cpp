#include "sim/network.h"

#include <algorithm>

#include "security/certificates.h"

namespace om::sim {

namespace {

constexpr uint64_t kCertificateBytesMax = 64 * 1024;

// One direction of a connection: bytes on their way, with the time they arrive.
struct Pipe {
  explicit Pipe(io::Clock& clock) : readable(clock), writable(clock) {}

  std::deque<std::pair<io::TimePoint, std::string>> pieces;
  size_t bytes = 0;
  bool closed = false;  // No more will be written.
  bool broken = false;  // Reset.
  io::TimePoint last_arrival{};
  io::Event readable, writable;

  void break_off() {
    broken = true;
    readable.notify_all();
    writable.notify_all();
  }
};

}  // namespace

class SimStream final : public io::Stream {
 public:
  SimStream(SimNetwork& network, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, SimPeer peer)
      : network_(network), in_(std::move(in)), out_(std::move(out)), peer_(std::move(peer)) {
    network_.streams_open_++;
  }
  ~SimStream() override {
    close();
    network_.streams_open_--;
  }

  io::Task<Result<size_t>> read_some(std::span<char> into) override;
  io::Task<Result<void>> write(std::span<const std::string_view> parts) override;
  void set_deadline(io::TimePoint deadline) override;
  void abort() override {
    aborted_.cancel();
    close();
  }
  bool is_idle() override {
    return !aborted_.cancelled() && !in_->broken && !in_->closed && in_->pieces.empty();
  }
  std::string peer() const override { return peer_.address; }
  std::string peer_certificate_name() const override { return peer_.certificate_name; }
  std::string peer_certificate_serial() const override { return peer_.certificate_serial; }

 private:
  void close() {
    out_->closed = true;
    out_->readable.notify_all();
    in_->break_off();
  }
  // Waits like a socket: a deadline moved meanwhile counts.
  io::Task<Result<void>> wait(io::Event& event, io::TimePoint until);

  SimNetwork& network_;
  std::shared_ptr<Pipe> in_, out_;
  SimPeer peer_;
  io::TimePoint deadline_ = io::kNever;
  io::CancelSource aborted_;
};

void SimStream::set_deadline(io::TimePoint deadline) {
  const bool sooner = deadline < deadline_;
  deadline_ = deadline;
  if (!sooner) return;
  in_->readable.notify_all();  // Those who wait look at the new deadline.
  out_->writable.notify_all();
}

io::Task<Result<void>> SimStream::wait(io::Event& event, io::TimePoint until) {
  if (deadline_ <= network_.clock_.now()) {
    co_return fail(Errc::deadline_exceeded, "no progress in time");
  }
  auto woken = co_await event.wait(io::Call{std::min(until, deadline_), aborted_.token()});
  if (!woken && woken.error().code == Errc::cancelled) co_return woken;
  co_return Result<void>{};  // The caller looks again, at the deadline too.
}

io::Task<Result<size_t>> SimStream::read_some(std::span<char> into) {
  const auto pipe = in_;
  while (true) {
    if (aborted_.cancelled()) co_return fail(Errc::cancelled, "read: cancelled");
    if (pipe->broken) co_return fail(Errc::unavailable, "read: connection reset by peer");
    io::TimePoint until = io::kNever;
    if (!pipe->pieces.empty()) {
      auto& [arrival, data] = pipe->pieces.front();
      if (arrival <= network_.clock_.now()) {
        const size_t slice = network_.random_.between(1, network_.faults.slice_max);
        const size_t count = std::min({slice, data.size(), into.size()});
        std::memcpy(into.data(), data.data(), count);
        data.erase(0, count);
        if (data.empty()) pipe->pieces.pop_front();
        pipe->bytes -= count;
        pipe->writable.notify_all();
        network_.note_read(count);
        co_return count;
      }
      until = arrival;
    } else if (pipe->closed) {
      co_return size_t{0};
    }
    CO_TRY_VOID(co_await wait(pipe->readable, until));
  }
}

io::Task<Result<void>> SimStream::write(std::span<const std::string_view> parts) {
  const auto pipe = out_;
  std::string data;
  for (const auto part : parts) data += part;
  while (!data.empty()) {
    if (aborted_.cancelled()) co_return fail(Errc::cancelled, "write: cancelled");
    if (pipe->broken || pipe->closed) co_return fail(Errc::unavailable, "write: broken pipe");
    if (network_.random_.chance(network_.faults.reset_chance)) {
      pipe->break_off();
      in_->break_off();
      co_return fail(Errc::unavailable, "write: connection reset by peer");
    }
    const size_t room = network_.faults.window - std::min(network_.faults.window, pipe->bytes);
    if (room == 0) {
      CO_TRY_VOID(co_await wait(pipe->writable, io::kNever));
      continue;
    }
    const auto& faults = network_.faults;
    const std::chrono::microseconds delay(static_cast<int64_t>(
        network_.random_.between(static_cast<uint64_t>(faults.delay_min.count()),
                                 static_cast<uint64_t>(faults.delay_max.count()))));
    // Bytes of one connection never overtake each other.
    pipe->last_arrival = std::max(pipe->last_arrival, network_.clock_.now() + delay);
    const size_t count = std::min(room, data.size());
    pipe->pieces.emplace_back(pipe->last_arrival, data.substr(0, count));
    pipe->bytes += count;
    data.erase(0, count);
    pipe->readable.notify_all();
  }
  co_return Result<void>{};
}

void SimNetwork::note_read(size_t count) {
  const auto now = static_cast<uint64_t>(clock_.now().time_since_epoch().count());
  trace_ = (trace_ ^ now ^ (uint64_t{count} << 48)) * 0x100000001b3;
}

class SimListener final : public io::Listener {
 public:
  SimListener(SimNetwork& network, io::Endpoint local, std::shared_ptr<const io::Tls> tls)
      : network_(network),
        local_(std::move(local)),
        tls_(std::move(tls)),
        arrivals_(network.clock_, kBacklogMax) {
    network_.listeners_[local_.str()] = this;
  }
  ~SimListener() override { close(); }

  io::Task<Result<std::unique_ptr<io::Stream>>> accept() override {
    auto next = co_await arrivals_.next();
    if (!next || !*next) co_return fail(Errc::cancelled, "the listener is closed");
    co_return std::move(**next);
  }
  void close() override {
    if (arrivals_.closed()) return;
    arrivals_.close();
    network_.listeners_.erase(local_.str());
  }
  io::Endpoint local() const override { return local_; }
  const io::Tls* tls() const { return tls_.get(); }  // Null: plain.
  bool offer(std::unique_ptr<io::Stream> stream) { return arrivals_.try_put(std::move(stream)); }

 private:
  static constexpr size_t kBacklogMax = 1024;
  SimNetwork& network_;
  io::Endpoint local_;
  std::shared_ptr<const io::Tls> tls_;
  io::Channel<std::unique_ptr<io::Stream>> arrivals_;
};

Result<SimPeer> SimNetwork::check_server(const io::Tls& by, const io::Tls& shown) {
  if (!by.verify) return SimPeer{};
  TRY(const std::string chain, files_.read_file(shown.certificate_file, kCertificateBytesMax));
  std::string authorities;
  if (by.ca_pin) {
    TRY(authorities, security::find_pinned(chain, *by.ca_pin));
  } else {
    TRY(authorities, files_.read_file(by.ca_file, kCertificateBytesMax));
  }
  TRY_VOID(security::verify_certificate(chain, authorities, clock_.wall_now()));
  TRY(const auto facts, security::read_certificate(chain));
  const auto holds_for = [&](const std::vector<std::string>& names) {
    return std::ranges::find(names, by.server_name) != names.end();
  };
  if (!by.server_name.empty() && !holds_for(facts.dns_names) && !holds_for(facts.addresses)) {
    return fail(Errc::unauthenticated, "the certificate is of '{}', not of '{}'", facts.name,
                by.server_name);
  }
  return SimPeer{{}, facts.name, facts.serial};
}

Result<SimPeer> SimNetwork::check_client(const io::Tls& by, const io::Tls& shown) {
  if (by.client_certificate == io::ClientCertificate::ignored) return SimPeer{};
  if (shown.certificate_file.empty()) {
    if (by.client_certificate == io::ClientCertificate::asked) return SimPeer{};
    return fail(Errc::unauthenticated, "the server wants a certificate");
  }
  TRY(const std::string chain, files_.read_file(shown.certificate_file, kCertificateBytesMax));
  TRY(const std::string authorities, files_.read_file(by.ca_file, kCertificateBytesMax));
  TRY_VOID(security::verify_certificate(chain, authorities, clock_.wall_now()));
  TRY(const auto facts, security::read_certificate(chain));
  return SimPeer{{}, facts.name, facts.serial};
}

io::Task<Result<std::unique_ptr<io::Stream>>> SimNetwork::connect(
    io::Endpoint to, std::shared_ptr<const io::Tls> tls, io::Call call) {
  CO_TRY_VOID(co_await clock_.sleep_for(faults.delay_max, call));
  if (tls) CO_TRY_VOID(co_await clock_.sleep_for(faults.delay_max, call));  // Its round trip.
  const auto found = listeners_.find(to.str());
  if (found == listeners_.end()) {
    co_return fail(Errc::unavailable, "connect {}: Connection refused", to.str());
  }
  const io::Tls* const theirs = found->second->tls();
  SimPeer client, server;
  if ((tls != nullptr) != (theirs != nullptr)) {
    co_return fail(Errc::unavailable, "connect {}: one side speaks TLS, the other does not",
                   to.str());
  }
  if (tls) {
    CO_TRY(server, check_server(*tls, *theirs));
    CO_TRY(client, check_client(*theirs, *tls));
  }
  auto forth = std::make_shared<Pipe>(clock_), back = std::make_shared<Pipe>(clock_);
  client.address = "127.0.0.1:" + std::to_string(next_port_++);
  server.address = to.str();
  auto accepted = std::make_unique<SimStream>(*this, forth, back, std::move(client));
  if (!found->second->offer(std::move(accepted))) {
    co_return fail(Errc::unavailable, "connect {}: Connection refused", to.str());
  }
  co_return std::make_unique<SimStream>(*this, back, forth, std::move(server));
}

Result<std::unique_ptr<io::Listener>> SimNetwork::listen(io::Endpoint at,
                                                         std::shared_ptr<const io::Tls> tls) {
  if (tls && (!files_.exists(tls->certificate_file) || !files_.exists(tls->key_file))) {
    return fail(Errc::invalid_argument, "listen {}: no certificate or no key", at.str());
  }
  if (at.unix_path.empty() && at.port == 0) at.port = next_port_++;
  if (listeners_.contains(at.str())) {
    return fail(Errc::already_exists, "listen {}: Address already in use", at.str());
  }
  return std::make_unique<SimListener>(*this, std::move(at), std::move(tls));
}

}  // namespace om::sim
