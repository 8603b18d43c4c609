#include "http/server.h"

#include <list>

#include "base/check.h"
#include "http/metrics.h"
#include "http/server_connection.h"

namespace om::http {

namespace {
constexpr std::chrono::milliseconds kTick{250};
constexpr std::chrono::milliseconds kAbortAfter{500};  // From cancelling to closing, in stop().
}  // namespace

struct Server::Impl {
  Impl(io::World& world, ServerLimits limits, Handler handler)
      : shared{world, limits, std::move(handler), world.random.letters(8)},
        changed(world.clock),
        tasks(world.executor, world.clock) {}

  io::Task<void> accept(io::Listener& listener);
  io::Task<void> serve(std::unique_ptr<io::Stream> stream);
  io::Task<void> stop(std::chrono::nanoseconds grace);
  io::Task<void> wait_until_empty(io::TimePoint deadline);
  void tick();

  ServerShared shared;
  std::vector<std::unique_ptr<io::Listener>> listeners;
  std::list<Connection*> connections;
  size_t open = 0;
  io::Clock::TimerId timer = 0;
  io::Event changed;  // A connection ended.
  io::TaskGroup tasks;
};

io::Task<void> Server::Impl::accept(io::Listener& listener) {
  while (!shared.stopping) {
    // At the bound new clients wait in the kernel's queue.
    while (open >= shared.limits.connections_max && !shared.stopping) {
      CHECK((co_await changed.wait()).has_value());
    }
    auto stream = co_await listener.accept();
    if (!stream || shared.stopping) co_return;
    open++;  // Now: a burst must not pass the bound before the new coroutines run.
    tasks.spawn(serve(std::move(*stream)));
  }
}

io::Task<void> Server::Impl::serve(std::unique_ptr<io::Stream> stream) {
  Connection connection(shared, std::move(stream));
  const auto position = connections.insert(connections.end(), &connection);
  metrics::accepted.add();
  metrics::connections.add();
  if (timer == 0) tick();
  tasks.spawn(connection.read_ahead());
  co_await connection.run();
  connections.erase(position);
  open--;
  metrics::connections.subtract();
  changed.notify_all();
}

void Server::Impl::tick() {
  timer = 0;
  const io::TimePoint now = shared.world.clock.now();
  for (Connection* connection : connections) connection->tick(now);
  if (connections.empty()) return;
  timer = shared.world.clock.start_timer(now + kTick, [this] { tick(); });
}

io::Task<void> Server::Impl::wait_until_empty(io::TimePoint deadline) {
  while (open > 0) {
    const auto woken = co_await changed.wait(io::Call{deadline, {}});
    if (!woken) co_return;
  }
}

io::Task<void> Server::Impl::stop(std::chrono::nanoseconds grace) {
  shared.stopping = true;
  for (auto& listener : listeners) listener->close();
  for (Connection* connection : connections) connection->close_if_idle();
  changed.notify_all();
  const io::Clock& clock = shared.world.clock;
  co_await wait_until_empty(clock.now() + grace);
  for (Connection* connection : connections) connection->cancel_request();
  co_await wait_until_empty(clock.now() + kAbortAfter);
  for (Connection* connection : connections) connection->abort();
  co_await tasks.stop();
  if (timer != 0) shared.world.clock.cancel_timer(timer);
  timer = 0;
}

Server::Server(io::World& world, ServerLimits limits, Handler handler)
    : impl_(std::make_unique<Impl>(world, limits, std::move(handler))) {}

Server::~Server() { CHECK(impl_->connections.empty(), "a server is destroyed before stop()"); }

Result<io::Endpoint> Server::listen(io::Endpoint at, std::shared_ptr<const io::Tls> tls) {
  TRY(auto listener, impl_->shared.world.network.listen(std::move(at), std::move(tls)));
  io::Endpoint local = listener->local();
  impl_->listeners.push_back(std::move(listener));
  impl_->tasks.spawn(impl_->accept(*impl_->listeners.back()));
  return local;
}

io::Task<void> Server::stop(std::chrono::nanoseconds grace) { return impl_->stop(grace); }
size_t Server::connections() const { return impl_->connections.size(); }
size_t Server::requests_running() const { return impl_->shared.requests_running; }

}  // namespace om::http
