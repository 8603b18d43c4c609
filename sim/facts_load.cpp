#include "sim/facts_load.h"

#include "io/task_group.h"
#include "sim/forwarded_metadata.h"

namespace om::sim {

using metadata::Compare;
using metadata::LeaseId;
using metadata::Operation;
using metadata::Transaction;
using std::chrono::seconds;

namespace {

constexpr std::string_view kPrefix = "/load/";
constexpr int kTriesMax = 5;
constexpr auto kWatchMax = seconds(5);

class LoadedMetadata final : public ForwardedMetadata {
 public:
  LoadedMetadata(std::unique_ptr<metadata::Metadata> metadata, io::World& world,
                 FactsLoadOptions options)
      : ForwardedMetadata(std::move(metadata)),
        world_(world),
        options_(options),
        tasks_(world.executor, world.clock) {
    tasks_.spawn(ask());
    tasks_.spawn(follow());
  }

  io::Task<void> stop() override {
    co_await tasks_.stop();
    co_await inner().stop();
  }

 private:
  bool chance(double probability) { return world_.random.unit() < probability; }
  uint64_t below(int64_t end) { return world_.random.below(static_cast<uint64_t>(end)); }
  std::string any_key() { return fmt::format("{}{}", kPrefix, below(options_.keys)); }
  io::Call call() { return world_.clock.call_within(metadata::kCallMax, tasks_.token()); }

  io::Task<Result<void>> pause() {
    const io::Call while_it_lives{io::kNever, tasks_.token()};
    do {
      const io::Duration time(below(options_.pause_max.count()));
      CO_TRY_VOID(co_await world_.clock.sleep_for(time, while_it_lives));
    } while (!*options_.wanted);
    co_return Result<void>{};
  }

  // What comes of the calls their history tells.
  io::Task<void> ask() {
    while (co_await pause()) {
      const double draw = world_.random.unit();
      if (draw < 0.25) {
        (void)co_await inner().get(any_key(), call());
      } else if (draw < 0.4) {
        (void)co_await inner().list(std::string(kPrefix), call());
      } else if (draw < 0.5) {
        const auto lease = co_await inner().grant(seconds(below(9) + 2), call());
        if (lease) co_await change(*lease);
      } else {
        co_await change(0);
      }
    }
  }

  io::Task<void> change(LeaseId lease) {
    Transaction transaction;
    const std::string key = any_key(), other = any_key();
    transaction.operations.push_back(Operation::put(key, world_.random.letters(8), lease));
    if (other != key) {
      transaction.operations.push_back(
          chance(0.5) ? Operation::remove(other) : Operation::put(other, world_.random.letters(8)));
    }
    if (chance(0.5)) {
      const auto entry = co_await inner().get(key, call());
      if (!entry) co_return;
      transaction.compares = {*entry ? Compare::unchanged(**entry) : Compare::absent(key)};
    }
    // Some are asked for again until it is known what became of them.
    const bool insists = options_.insists && chance(0.5);
    if (insists) transaction.request_id = world_.random.letters(16);
    for (int i = 0; i < (insists ? kTriesMax : 1); i++) {
      if (co_await inner().commit(transaction, call())) co_return;
    }
  }

  io::Task<void> follow() {
    while (co_await pause()) {
      const auto snapshot = co_await inner().list(std::string(kPrefix), call());
      if (!snapshot) continue;
      const auto watch = inner().watch(std::string(kPrefix), snapshot->revision + 1);
      Result<std::vector<metadata::Event>> told;
      // At its deadline a watch goes on where it was.
      while (*options_.wanted && (told || told.error().code == Errc::deadline_exceeded)) {
        told = co_await watch->next(world_.clock.call_within(kWatchMax, tasks_.token()));
      }
    }
  }

  io::World& world_;
  const FactsLoadOptions options_;
  io::TaskGroup tasks_;
};

}  // namespace

std::unique_ptr<metadata::Metadata> with_load(std::unique_ptr<metadata::Metadata> metadata,
                                              io::World& world, FactsLoadOptions options) {
  return std::make_unique<LoadedMetadata>(std::move(metadata), world, options);
}

}  // namespace om::sim
