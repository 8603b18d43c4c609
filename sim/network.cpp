#include "sim/network.h"

#include <unistd.h>

#include <algorithm>

#include "security/certificates.h"
#include "sim/stream.h"

namespace om::sim {

namespace {

constexpr uint64_t kCertificateBytesMax = 64 * 1024;
constexpr std::chrono::microseconds kLocalDelay{10};
constexpr std::string_view kSocketHead =
    "  sl  local_address rem_address st queues timer retrnsmt uid\n";

// A connection from the loopback port of this number to that of a listener.
std::string socket_line(uint16_t number, uint16_t listener) {
  return fmt::format(" {:3}: 0100007F:{:04X} 0100007F:{:04X} 01 0:0 0:0 0 {}\n", number,
                     SimHost::kLoopbackFirst + number, listener, ::geteuid());
}

}  // namespace

class SimListener final : public io::Listener {
 public:
  SimListener(SimHost& host, io::Endpoint local, std::shared_ptr<const io::Tls> tls)
      : host_(host),
        local_(std::move(local)),
        key_(host.key_of(local_)),
        tls_(std::move(tls)),
        arrivals_(host.network_.clock_, kBacklogMax) {
    host_.network_.listeners_[key_] = this;
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
    host_.network_.listeners_.erase(key_);
  }
  io::Endpoint local() const override { return local_; }
  const io::Tls* tls() const { return tls_.get(); }  // Null: plain.
  SimHost& host() const { return host_; }
  bool offer(std::unique_ptr<io::Stream> stream) { return arrivals_.try_put(std::move(stream)); }

 private:
  static constexpr size_t kBacklogMax = 1024;
  SimHost& host_;
  io::Endpoint local_;
  std::string key_;
  std::shared_ptr<const io::Tls> tls_;
  io::Channel<std::unique_ptr<io::Stream>> arrivals_;
};

SimNetwork::SimNetwork(io::Clock& clock, SimRandom& random, io::Filesystem& files)
    : clock_(clock),
      random_(random),
      changed_(clock),
      nameless_(std::make_unique<SimHost>(*this, SimHost::Place{"", "127.0.0.1"}, clock, files)) {}

SimNetwork::~SimNetwork() = default;

void SimNetwork::note_read(size_t count) {
  const auto now = static_cast<uint64_t>(clock_.now().time_since_epoch().count());
  trace_ = (trace_ ^ now ^ (uint64_t{count} << 48)) * 0x100000001b3;
}

io::Duration SimNetwork::delay(const std::string& from, const std::string& to) {
  if (from == to && !from.empty()) return kLocalDelay;
  io::Duration delay = std::chrono::microseconds(
      static_cast<int64_t>(random_.between(static_cast<uint64_t>(faults.delay_min.count()),
                                           static_cast<uint64_t>(faults.delay_max.count()))));
  for (const std::string& host : {from, to}) {
    if (const auto found = slow.find(host); found != slow.end()) delay += found->second;
  }
  return delay;
}

int SimNetwork::streams_open(std::string_view at, std::string_view to) const {
  return static_cast<int>(std::ranges::count_if(streams_, [&](const auto& item) {
    return item.second->host().name() == at && item.second->other() == to;
  }));
}

void SimNetwork::wake_all() {
  for (const auto& [number, stream] : streams_) stream->wake();
  changed_.notify_all();
}

void SimNetwork::cut(const std::string& from, const std::string& to, Word word) {
  cuts_[{from, to}] = word;
  if (word == Word::none) return;
  for (const auto& [number, stream] : streams_) {
    const bool between = (stream->host().name() == from && stream->other() == to) ||
                         (stream->host().name() == to && stream->other() == from);
    if (between) stream->tear();
  }
}

void SimNetwork::heal(const std::string& from, const std::string& to) {
  if (cuts_.erase({from, to}) > 0) wake_all();
}

bool SimNetwork::passes(const std::string& from, const std::string& to) const {
  return cuts_.empty() || !cuts_.contains({from, to});
}

// The way of a connection's first messages.
io::Task<Result<void>> SimNetwork::travel(const SimHost& from, const std::string& to, bool with_tls,
                                          io::Call call) {
  const bool within = from.name() == to && !to.empty();
  const io::Duration once = within ? io::Duration(kLocalDelay) : io::Duration(faults.delay_max);
  CO_TRY_VOID(co_await clock_.sleep_for(once, call));
  if (with_tls) CO_TRY_VOID(co_await clock_.sleep_for(once, call));  // Its round trip.
  while (!passes(from.name(), to) || !passes(to, from.name())) {
    for (const auto& way : {std::pair(from.name(), to), std::pair(to, from.name())}) {
      const auto found = cuts_.find(way);
      if (found == cuts_.end() || found->second == Word::none) continue;
      co_return fail(Errc::unavailable, "connect {}: Connection refused", to);
    }
    CO_TRY_VOID(co_await changed_.wait(call));
  }
  co_return Result<void>{};
}

io::Task<Result<std::unique_ptr<io::Stream>>> SimNetwork::connect(
    io::Endpoint to, std::shared_ptr<const io::Tls> tls, io::Call call) {
  return nameless_->connect(std::move(to), std::move(tls), std::move(call));
}

Result<std::unique_ptr<io::Listener>> SimNetwork::listen(io::Endpoint at,
                                                         std::shared_ptr<const io::Tls> tls) {
  return nameless_->listen(std::move(at), std::move(tls));
}

SimHost::SimHost(SimNetwork& network, Place place, io::Clock& clock, io::Filesystem& files)
    : network_(network), place_(std::move(place)), clock_(clock), files_(files) {
  network_.names_[place_.address] = place_.name;
  for (const auto& [number, stream] : network_.streams_) {
    if (!place_.name.empty() && stream->other() == place_.name) stream->refuse_writes();
  }
}

void SimHost::die(Word word) {
  dead_ = true;
  std::vector<SimListener*> mine;
  for (const auto& [key, listener] : network_.listeners_) {
    if (&listener->host() == this) mine.push_back(listener);
  }
  for (SimListener* listener : mine) listener->close();
  for (const auto& [number, stream] : network_.streams_) {
    if (&stream->host() == this) stream->die(word);
  }
}

bool SimHost::is_within(const io::Endpoint& at) const {
  return !at.unix_path.empty() || (at.host == "127.0.0.1" && !place_.name.empty());
}

std::string SimHost::key_of(const io::Endpoint& at) const {
  return is_within(at) ? place_.name + at.str() : at.str();
}

std::string SimHost::socket_table() {
  std::string table(kSocketHead);
  for (uint16_t i = 0; i < kLoopbackPorts; i++) table += socket_line(i, 0);
  return table;
}

uint16_t SimHost::port_towards(const io::Endpoint& to) {
  if (!to.unix_path.empty() || !is_within(to)) return network_.next_port_++;
  const auto number = static_cast<uint16_t>(loopback_ports_++ % kLoopbackPorts);
  // Without a table nobody here wants to know.
  if (const auto table = files_.open(kSocketTable, io::Filesystem::Open::read_write)) {
    const std::string line = socket_line(number, to.port);
    // What is not told there is refused by whom it comes to.
    (void)(*table)->write_at(kSocketHead.size() + number * line.size(), line);
  }
  return kLoopbackFirst + number;
}

Result<SimPeer> SimHost::check_server(const io::Tls& mine, const SimHost& host,
                                      const io::Tls& theirs) {
  if (!mine.verify) return SimPeer{};
  TRY(const std::string chain,
      host.files_.read_file(theirs.certificate_file, kCertificateBytesMax));
  std::string authorities;
  if (mine.ca_pin) {
    TRY(authorities, security::find_pinned(chain, *mine.ca_pin));
  } else {
    TRY(authorities, files_.read_file(mine.ca_file, kCertificateBytesMax));
  }
  TRY_VOID(security::verify_certificate(chain, authorities, clock_.wall_now()));
  TRY(const auto facts, security::read_certificate(chain));
  const auto holds_for = [&](const std::vector<std::string>& names) {
    return std::ranges::find(names, mine.server_name) != names.end();
  };
  if (!mine.server_name.empty() && !holds_for(facts.dns_names) && !holds_for(facts.addresses)) {
    return fail(Errc::unauthenticated, "the certificate is of '{}', not of '{}'", facts.name,
                mine.server_name);
  }
  return SimPeer{{}, facts.name, facts.serial};
}

Result<SimPeer> SimHost::check_client(const io::Tls& mine, const SimHost& host,
                                      const io::Tls& theirs) {
  if (mine.client_certificate == io::ClientCertificate::ignored) return SimPeer{};
  if (theirs.certificate_file.empty()) {
    if (mine.client_certificate == io::ClientCertificate::asked) return SimPeer{};
    return fail(Errc::unauthenticated, "the server wants a certificate");
  }
  TRY(const std::string chain,
      host.files_.read_file(theirs.certificate_file, kCertificateBytesMax));
  TRY(const std::string authorities, files_.read_file(mine.ca_file, kCertificateBytesMax));
  TRY_VOID(security::verify_certificate(chain, authorities, clock_.wall_now()));
  TRY(const auto facts, security::read_certificate(chain));
  return SimPeer{{}, facts.name, facts.serial};
}

io::Task<Result<std::unique_ptr<io::Stream>>> SimHost::connect(io::Endpoint to,
                                                               std::shared_ptr<const io::Tls> tls,
                                                               io::Call call) {
  auto& listeners = network_.listeners_;
  if (auto left = network_.denied.find(to.host); left != network_.denied.end() && left->second) {
    left->second--;
    co_return fail(Errc::not_found, "lookup {}: no such host", to.host);
  }
  const auto named = network_.names_.find(to.host);
  std::string other = named == network_.names_.end() ? "" : named->second;
  if (is_within(to)) other = place_.name;
  CO_TRY_VOID(co_await network_.travel(*this, other, tls != nullptr, call));
  const auto found = listeners.find(key_of(to));
  if (found == listeners.end() || dead_) {
    co_return fail(Errc::unavailable, "connect {}: Connection refused", to.str());
  }
  SimHost& host = found->second->host();
  const io::Tls* const theirs = found->second->tls();
  SimPeer client, server;
  if ((tls != nullptr) != (theirs != nullptr)) {
    co_return fail(Errc::unavailable, "connect {}: one side speaks TLS, the other does not",
                   to.str());
  }
  if (tls) {
    CO_TRY(server, check_server(*tls, host, *theirs));
    CO_TRY(client, host.check_client(*theirs, *this, *tls));
  }
  auto& clock = network_.clock_;
  auto forth = std::make_shared<Pipe>(clock), back = std::make_shared<Pipe>(clock);
  forth->from = back->to = place_.name;
  forth->to = back->from = host.name();
  forth->local = back->local = place_.name == host.name() && !place_.name.empty();
  const std::string& from = to.unix_path.empty() && is_within(to) ? to.host : place_.address;
  client.address = fmt::format("{}:{}", from, port_towards(to));
  server.address = to.str();
  auto accepted = std::make_unique<SimStream>(host, forth, back, std::move(client));
  if (!found->second->offer(std::move(accepted))) {
    co_return fail(Errc::unavailable, "connect {}: Connection refused", to.str());
  }
  co_return std::make_unique<SimStream>(*this, back, forth, std::move(server));
}

Result<std::unique_ptr<io::Listener>> SimHost::listen(io::Endpoint at,
                                                      std::shared_ptr<const io::Tls> tls) {
  if (dead_) return fail(Errc::unavailable, "listen {}: Network is down", at.str());
  if (tls && (!files_.exists(tls->certificate_file) || !files_.exists(tls->key_file))) {
    return fail(Errc::invalid_argument, "listen {}: no certificate or no key", at.str());
  }
  if (at.unix_path.empty() && at.port == 0) at.port = network_.next_port_++;
  if (network_.listeners_.contains(key_of(at))) {
    return fail(Errc::already_exists, "listen {}: Address already in use", at.str());
  }
  return std::make_unique<SimListener>(*this, std::move(at), std::move(tls));
}

}  // namespace om::sim
