#include "sim/cluster/voters.h"

#include <algorithm>

#include "base/check.h"
#include "metadata/sqlite/sqlite_metadata.h"

namespace om::sim {
namespace {

constexpr std::chrono::milliseconds kStartTime{300};  // Of an etcd.

}  // namespace

class SimVoter final : public app::Voter {
 public:
  SimVoter(SimVoters& all, app::VoterParts parts, int life)
      : all_(all),
        world_(parts.world),
        name_(parts.state.name),
        id_(fmt::format("{}#{}", name_, life)),
        file_(io::join(io::join(parts.directory, "etcd"), "member.json")),
        host_(parts.state.advertise.host),
        port_(parts.state.advertise.port) {}
  ~SimVoter() override { CHECK(!started_, "SimVoter::stop() was not awaited"); }

  io::Task<Result<void>> begin(io::Call call) override {
    CHECK(all_.members_.empty(), "a second cluster begins");
    CO_TRY_VOID(co_await start(std::move(call)));
    all_.members_.insert(name_);
    all_.look_again();
    co_return Result<void>{};
  }
  io::Task<Result<void>> resume(io::Call call) override {
    if (!has_begun()) co_return fail(Errc::corrupt, "{}: the member's data is lost", name_);
    if (!all_.members_.contains(name_)) co_return fail(Errc::forbidden, "{} was removed", name_);
    co_return co_await start(std::move(call));
  }
  io::Task<Result<void>> join(std::vector<io::Endpoint>, io::Call call) override {
    if (!all_.has_majority()) co_return fail(Errc::not_leader, "no majority");
    if (all_.members_.contains(name_)) co_return fail(Errc::already_exists, "{} votes", name_);
    CO_TRY_VOID(co_await start(std::move(call)));
    all_.members_.insert(name_);
    all_.look_again();
    co_return Result<void>{};
  }
  bool has_begun() const override { return world_.files.exists(file_); }
  bool was_removed() const override { return started_ && !all_.members_.contains(name_); }
  metadata::Metadata& metadata() override { return *metadata_; }
  std::string client_url() const override {
    return fmt::format("https://{}:{}", host_, port_ + app::kEtcdClientOffset);
  }
  std::string peer_url() const override {
    return fmt::format("https://{}:{}", host_, port_ + app::kEtcdPeerOffset);
  }
  io::Task<void> stop() override {
    if (metadata_) co_await metadata_->stop();
    started_ = false;
    leave();
  }

  const std::string& id() const { return id_; }
  void leave() {
    const auto found = all_.running_.find(name_);
    if (found == all_.running_.end() || found->second != this) return;
    all_.running_.erase(found);
    all_.facts_.cut(id_);
    all_.look_again();
  }

 private:
  io::Task<Result<void>> start(io::Call call) {
    CO_TRY_VOID(co_await world_.clock.sleep_for(kStartTime, std::move(call)));
    CO_TRY_VOID(world_.files.make_directories(io::parent(file_)));
    CO_TRY_VOID(world_.files.write_file(file_, "{}"));
    auto engine = with_bug(all_.facts_.node(id_), all_.bug, all_.world_, all_.facts_);
    auto recorded = all_.history_.record(std::move(engine), name_, true);
    metadata_ = with_load(std::move(recorded), world_, all_.load_options(false));
    started_ = true;
    all_.running_[name_] = this;
    all_.facts_.cut(id_);
    all_.look_again();
    co_return Result<void>{};
  }

  SimVoters& all_;
  io::World& world_;
  std::string name_, id_;
  io::Path file_;
  std::string host_;
  uint16_t port_;
  bool started_ = false;
  std::unique_ptr<metadata::Metadata> metadata_;
};

std::unique_ptr<app::Voter> SimVoters::make(app::VoterParts parts) {
  return std::make_unique<SimVoter>(*this, std::move(parts), lives_++);
}

io::Task<Result<std::unique_ptr<metadata::Metadata>>> SimVoters::open_own(io::World& world,
                                                                          io::Path) {
  return metadata::open_sqlite(world, ":memory:");
}

// A voter asks nothing again: by their request ids the calls of others are known there.
FactsLoadOptions SimVoters::load_options(bool insists) const {
  const auto pause = bug == PlantedBug::none ? std::chrono::seconds(3) : std::chrono::seconds(1);
  return {.wanted = &load, .pause_max = pause, .insists = insists};
}

std::unique_ptr<metadata::Metadata> SimVoters::open_remote(io::World& world, http::Client& client,
                                                           cluster::RemoteMetadata::Voters voters) {
  auto remote = VoterMaker::open_remote(world, client, std::move(voters));
  const std::string& name = dynamic_cast<SimHost&>(world.network).name();
  return with_load(history_.record(std::move(remote), name, false), world, load_options(true));
}

bool SimVoters::reach(const std::string& one, const std::string& other) const {
  const auto is_up = [this](const std::string& name) {
    return running_.contains(name) && !frozen_.contains(name) && members_.contains(name);
  };
  const SimNetwork& network = world_.network();
  return is_up(one) && is_up(other) && network.passes(one, other) && network.passes(other, one);
}

bool SimVoters::has_quorum(const std::string& name) const {
  if (outage_) return false;
  size_t reached = 0;
  for (const std::string& other : members_) {
    if (reach(name, other)) reached++;
  }
  return reached > members_.size() / 2;
}

bool SimVoters::has_majority() const {
  for (const std::string& name : members_) {
    if (has_quorum(name)) return true;
  }
  return false;
}

size_t SimVoters::voting() const {
  return static_cast<size_t>(std::ranges::count_if(
      members_, [this](const std::string& name) { return running_.contains(name); }));
}

bool SimVoters::can_lose(const std::string& name) const {
  return !members_.contains(name) || members_.size() - 1 > members_.size() / 2;
}

void SimVoters::look_again() {
  for (const auto& [name, voter] : running_) {
    if (has_quorum(name)) {
      facts_.heal(voter->id());
    } else {
      facts_.cut(voter->id());
    }
  }
}

void SimVoters::machine_died(const std::string& name) {
  frozen_.erase(name);
  if (const auto found = running_.find(name); found != running_.end()) found->second->leave();
  look_again();
}

void SimVoters::set_frozen(const std::string& name, bool frozen) {
  if (frozen) frozen_.insert(name);
  if (!frozen) frozen_.erase(name);
  look_again();
}

void SimVoters::set_outage(bool on) {
  outage_ = on;
  look_again();
}

io::Task<Result<void>> SimVoters::remove(io::World& world, const security::IdentityStore&,
                                         std::vector<io::Endpoint>, std::string name,
                                         io::Call call) {
  CO_TRY_VOID(co_await world.clock.sleep_for(std::chrono::milliseconds(5), std::move(call)));
  const std::string& asker = dynamic_cast<SimHost&>(world.network).name();
  bool heard = false;
  for (const auto& [voter, running] : running_) {
    const bool way = world_.network().passes(asker, voter) && world_.network().passes(voter, asker);
    heard = heard || (way && has_quorum(voter));
  }
  if (!heard) co_return fail(Errc::not_leader, "no majority of the voters can be reached");
  members_.erase(name);
  look_again();
  co_return Result<void>{};
}

}  // namespace om::sim
