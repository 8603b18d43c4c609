#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "io/real.h"
#include "io/real/clock.h"
#include "io/real/filesystem.h"
#include "io/real/network.h"
#include "io/real/processes.h"
#include "io/real/random.h"
#include "io/real/workers.h"
#include "io/task_group.h"

namespace om::io {

namespace asio = boost::asio;

// Can drop what still waits while the objects it refers to are alive.
class Context final : public asio::io_context {
 public:
  Context() : asio::io_context(1) {}
  void abandon() { shutdown(); }
};

struct RealWorld::Impl {
  explicit Impl(const RealOptions& options)
      : clock(context),
        network(context, clock, options.ask_name),
        files(random),
        processes(context, clock),
        workers(std::make_unique<RealWorkers>(context, options.worker_threads)),
        signals(context),
        world{context.get_executor(), clock, random, network, files, processes, *workers} {}
  ~Impl() {
    network.stop_threads();
    workers.reset();
    context.abandon();
  }

  void wait_for_signal() {
    if (waits_for_signal) return;
    waits_for_signal = true;
    signals.async_wait([this](boost::system::error_code error, int number) {
      waits_for_signal = false;
      if (!signal_callback) return;
      if (!error) signal_callback(number);
      wait_for_signal();
    });
  }

  Context context;
  RealClock clock;
  RealRandom random;
  RealNetwork network;
  RealFilesystem files;
  RealProcesses processes;
  std::unique_ptr<RealWorkers> workers;
  asio::signal_set signals;
  std::function<void(int)> signal_callback;
  bool waits_for_signal = false;
  World world;
};

RealWorld::RealWorld(RealOptions options) : impl_(std::make_unique<Impl>(options)) {}
RealWorld::~RealWorld() = default;
World& RealWorld::world() { return impl_->world; }
NameService& RealWorld::names() { return impl_->network; }

void RealWorld::run() { impl_->context.run(); }
void RealWorld::stop() { impl_->context.stop(); }

namespace {
Task<void> run_then_stop(Task<void> task, asio::io_context& context) {
  co_await std::move(task);
  context.stop();
}
}  // namespace

void RealWorld::run_until_done(Task<void> task) {
  impl_->context.restart();
  spawn_detached(impl_->world.executor, run_then_stop(std::move(task), impl_->context));
  impl_->context.run();
}

void RealWorld::on_signal(std::vector<int> numbers, std::function<void(int)> callback) {
  for (const int number : numbers) impl_->signals.add(number);
  impl_->signal_callback = std::move(callback);
  impl_->wait_for_signal();
}

void RealWorld::default_signals() {
  impl_->signal_callback = nullptr;
  boost::system::error_code ignored;  // Nothing is left to do if a signal cannot be given back.
  impl_->signals.clear(ignored);
}

}  // namespace om::io
