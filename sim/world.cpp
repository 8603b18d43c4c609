#include "sim/world.h"

#include <algorithm>

#include "base/check.h"
#include "sim/context.h"
#include "sim/machine.h"

namespace om::sim {

namespace {

io::Task<void> run_and_tell(io::Task<void> task, bool& done) {
  co_await std::move(task);
  done = true;
}

}  // namespace

struct World::Impl {
  explicit Impl(uint64_t seed)
      : random(seed),
        files(clock),
        network(clock, random, files),
        processes(context.get_executor(), clock),
        workers(clock, random),
        world{context.get_executor(), clock, random, network, files, processes, workers} {}
  ~Impl() { context.abandon(); }

  Context context;
  SimClock clock;
  SimRandom random;
  SimFilesystem files;
  SimNetwork network;
  SimProcesses processes;
  SimWorkers workers;
  io::World world;
  std::vector<Machine*> machines;
  std::string running;

  // Does all that can be done at once, everywhere.
  void settle() {
    size_t done = 1;
    while (done > 0) {
      done = context.run_ready();
      for (size_t i = 0; i < machines.size(); i++) {
        running = machines[i]->name();
        done += machines[i]->run_ready();
      }
      running.clear();
    }
  }
};

World::World(uint64_t seed) : impl_(std::make_unique<Impl>(seed)) {}
World::~World() = default;
io::World& World::world() { return impl_->world; }
SimClock& World::clock() { return impl_->clock; }
SimRandom& World::random() { return impl_->random; }
SimNetwork& World::network() { return impl_->network; }
SimFilesystem& World::files() { return impl_->files; }
SimProcesses& World::processes() { return impl_->processes; }
SimWorkers& World::workers() { return impl_->workers; }

void World::run(io::Task<void> task, io::Duration virtual_time_max) {
  bool done = false;
  const io::TimePoint latest = impl_->clock.now() + virtual_time_max;
  io::spawn_detached(impl_->world.executor, run_and_tell(std::move(task), done));
  while (true) {
    impl_->settle();
    if (done) return;
    CHECK(impl_->clock.has_timers(), "the simulation is deadlocked: nothing can happen any more");
    impl_->clock.jump();
    CHECK(impl_->clock.now() <= latest, "the simulated task did not end in time");
  }
}

// Coroutines count as the context's work as long as they live, also while they only wait.
bool World::is_idle() {
  impl_->settle();
  return impl_->context.stopped() && !impl_->clock.has_timers();
}

const std::string& World::running() const { return impl_->running; }
void World::add(Machine& machine) { impl_->machines.push_back(&machine); }
void World::remove(Machine& machine) { std::erase(impl_->machines, &machine); }

}  // namespace om::sim
