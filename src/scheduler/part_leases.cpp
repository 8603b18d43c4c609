#include "scheduler/part_leases.h"

namespace om::scheduler {
namespace {

// Running models may have to make room for it first.
constexpr std::chrono::seconds kTakeMax{60};
constexpr size_t kNameLetters = 26;

class LeasedPart final : public engine::Part {
 public:
  explicit LeasedPart(std::unique_ptr<Lease> lease)
      : lease_(std::move(lease)), engine_(static_cast<engine::RemoteEngine&>(lease_->engine())) {}

  io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Call call) override {
    return engine_.tunnel(std::move(call));
  }
  io::Task<Error> watch(io::CancelToken cancel) override {
    return engine_.watch(std::move(cancel));
  }

 private:
  std::unique_ptr<Lease> lease_;
  engine::RemoteEngine& engine_;  // What RemoteLeases gives.
};

}  // namespace

io::Task<Result<std::unique_ptr<engine::Part>>> PartLeases::take(engine::PartShare share,
                                                                 std::string model, io::Call call) {
  Target target;
  target.name = std::move(model);
  target.part_of = self_;
  target.part_bytes = share.bytes;
  target.weights = target.manifest = Digest::of(world_.random.letters(kNameLetters));
  AcquireOptions options;
  options.keep_alive.duration = io::Duration{0};
  const io::TimePoint deadline = call.deadline;
  call = world_.clock.call_within(kTakeMax, call);
  auto lease = co_await leases_.acquire(share.node, target, options, std::move(call));
  if (lease) co_return std::make_unique<LeasedPart>(std::move(*lease));
  Error error = std::move(lease).error();
  // Planned anew, it may go elsewhere.
  if (error.code == Errc::deadline_exceeded && world_.clock.now() < deadline) {
    error = {Errc::unavailable, fmt::format("node {} had no room for it in time", share.node)};
  }
  co_return fail(std::move(error));
}

}  // namespace om::scheduler
