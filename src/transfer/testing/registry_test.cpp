// The world of this room's tests.
#include "transfer/testing/registry.h"

namespace om::transfer::testing {

std::string random_bytes(size_t count, uint64_t seed) {
  std::string data(count, '\0');
  for (size_t i = 0; i < count; i++) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    data[i] = static_cast<char>(seed >> 56);
  }
  return data;
}

TransferWorld::TransferWorld() {
  sim_.workers().job_max = kJobMax;
  options_.key_path = "/home/id_ed25519";
  options_.uploads_file = "/home/uploads.json";
}

TransferWorld::~TransferWorld() {
  if (transfer_) sim_.run(transfer_->stop());
  sim_.run(registry_.stop());
  transfer_.reset();
  store_.reset();
  client_.reset();
}

void TransferWorld::start() {
  client_ = std::make_unique<http::Client>(world_);
  auto opened = wait(store::Store::open(world_, folder_, true));
  ASSERT_TRUE(opened) << opened.error().what;
  store_ = std::move(*opened);
  transfer_ = make_transfer(world_, *store_, *client_, options_);
}

void TransferWorld::restart(uint64_t draw) {
  if (transfer_) sim_.run(transfer_->stop());
  transfer_.reset();
  store_.reset();
  sim_.files().fail_from_call(0);
  sim_.files().crash(draw);
  start();
}

model::Name TransferWorld::name(std::string_view model) const {
  return model::Name::parse(fmt::format("{}/test/{}", registry_.host(), model)).value();
}

io::Task<Result<void>> TransferWorld::note(Progress line) {
  if (statuses.empty() || statuses.back() != line.status) statuses.push_back(line.status);
  progress.push_back(std::move(line));
  co_return Result<void>{};
}

ProgressSink TransferWorld::sink() {
  return [this](Progress line) { return note(std::move(line)); };
}

Result<void> TransferWorld::pull(std::string_view model) {
  return wait(transfer_->pull({name(model), true}, sink(), {}));
}

Result<void> TransferWorld::push(std::string_view model) {
  return wait(transfer_->push({name(model), true}, sink(), {}));
}

}  // namespace om::transfer::testing
