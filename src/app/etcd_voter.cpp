// Voters that are etcd members, each run as a child.
#include <algorithm>

#include "app/voter.h"
#include "base/log.h"
#include "base/version.h"
#include "io/loopback.h"
#include "metadata/etcd/etcd_metadata.h"
#include "metadata/etcd/member.h"
#include "metadata/sqlite/sqlite_metadata.h"

namespace om::app {
namespace {

bool is_numeric(std::string_view host) {
  return host.find(':') != host.npos || host.find_first_not_of("0123456789.") == host.npos;
}

constexpr std::chrono::seconds kHandOverMax{2};
constexpr std::string_view kOnePortSince = "0.3.0";

metadata::MemberOptions member_options(const Settings& settings, const ClusterState& state,
                                       const io::Path& directory,
                                       const security::IdentityStore& identity) {
  metadata::MemberOptions options;
  options.program = settings.etcd_program;
  options.name = state.name;
  options.directory = voter_directory(directory);
  options.client = etcd_endpoint(state, kEtcdClientOffset);
  options.peer = etcd_endpoint(state, kEtcdPeerOffset);
  options.advertised_client = state.one_port ? state.advertise : options.client;
  options.advertised_peer = state.one_port ? state.advertise : options.peer;
  // etcd binds to addresses only. Loopback stays loopback.
  if (!is_numeric(options.client.host)) options.client.host = options.peer.host = "0.0.0.0";
  const metadata::EtcdCertificates certificates{identity.authorities_file(), identity.node_file(),
                                                identity.node_file()};
  options.client_certificates = options.peer_certificates = certificates;
  return options;
}

class EtcdVoter final : public Voter {
 public:
  explicit EtcdVoter(VoterParts parts)
      : world_(parts.world),
        state_(parts.state),
        identity_(parts.identity),
        proxy_(parts.world, std::move(parts.link_at)),
        member_(parts.world,
                member_options(parts.settings, parts.state, parts.directory, parts.identity)) {}

  io::Task<Result<void>> begin(io::Call call) override {
    CO_TRY_VOID(open_proxy());
    CO_TRY_VOID(co_await member_.begin(std::move(call)));
    open_metadata();
    co_return Result<void>{};
  }
  io::Task<Result<void>> resume(io::Call call) override;
  io::Task<Result<void>> join(std::vector<io::Endpoint> others, io::Call call) override;
  io::Task<Result<void>> finish_join(std::vector<io::Endpoint> others, io::Call call) override;
  io::Task<Result<void>> check_cluster(std::vector<io::Endpoint> others, io::Call call) override;
  io::Task<Result<void>> tell_address(io::Call call) override {
    return member_.tell_address(std::move(call));
  }
  bool has_begun() const override { return member_.has_begun(); }
  bool was_removed() const override { return member_.removed(); }
  metadata::Metadata& metadata() override { return *metadata_; }
  std::string client_url() const override { return member_.options().client_url(); }
  std::string peer_url() const override { return member_.options().peer_url(); }
  io::Task<void> hand_over_lead() override;
  io::Task<void> stop() override;

 private:
  Result<void> open_proxy();
  void open_metadata();

  io::World& world_;
  const ClusterState& state_;
  const security::IdentityStore& identity_;
  peer::VoterProxy proxy_;
  metadata::EtcdMember member_;
  std::unique_ptr<metadata::EtcdMetadata> metadata_;
};

Result<void> EtcdVoter::open_proxy() {
  TRY(const io::Endpoint at, proxy_.listen());
  member_.use_proxy("http://" + at.str());
  return {};
}

void EtcdVoter::open_metadata() {
  metadata::EtcdOptions options;
  options.endpoints = {member_.options().client};
  if (options.endpoints[0].host == "0.0.0.0") options.endpoints[0].host = "127.0.0.1";
  options.tls = identity_.client_of(state_.name);
  metadata_ = std::make_unique<metadata::EtcdMetadata>(world_, std::move(options));
}

io::Task<Result<void>> EtcdVoter::resume(io::Call call) {
  CO_TRY_VOID(open_proxy());
  auto resumed = co_await member_.resume(std::move(call));
  // Without a majority, or with a full disk, it does not answer yet: requests are served meanwhile.
  if (!resumed && !member_.goes_on()) co_return fail(std::move(resumed).error());
  if (!resumed) log_warn("the facts' engine is not ready yet", field("error", resumed.error()));
  open_metadata();
  co_return Result<void>{};
}

// Speaks to the voters' etcd members about who they are.
std::unique_ptr<metadata::Membership> open_membership(io::World& world,
                                                      const security::IdentityStore& identity,
                                                      std::vector<io::Endpoint> endpoints) {
  metadata::EtcdOptions options;
  options.endpoints = std::move(endpoints);
  auto tls = std::make_shared<io::Tls>(*identity.client_of(""));
  tls->server_name.clear();  // Each endpoint's own host.
  options.tls = std::move(tls);
  return std::make_unique<metadata::Membership>(world, std::move(options));
}

io::Task<Result<void>> EtcdVoter::join(std::vector<io::Endpoint> others, io::Call call) {
  CO_TRY_VOID(open_proxy());
  const auto membership = open_membership(world_, identity_, std::move(others));
  CO_TRY_VOID(co_await member_.join(*membership, std::move(call)));
  open_metadata();
  co_return Result<void>{};
}

io::Task<Result<void>> EtcdVoter::finish_join(std::vector<io::Endpoint> others, io::Call call) {
  const auto membership = open_membership(world_, identity_, std::move(others));
  co_return co_await member_.finish_join(*membership, std::move(call));
}

io::Task<Result<void>> EtcdVoter::check_cluster(std::vector<io::Endpoint> others, io::Call call) {
  const auto membership = open_membership(world_, identity_, std::move(others));
  co_return co_await member_.check_cluster(*membership, std::move(call));
}

io::Task<void> EtcdVoter::hand_over_lead() {
  const auto done = co_await member_.hand_over_lead(world_.clock.call_within(kHandOverMax));
  if (!done) log_info("another voter leads after an election", field("reason", done.error()));
}

io::Task<void> EtcdVoter::stop() {
  if (metadata_) co_await metadata_->stop();
  co_await member_.stop();
  co_await proxy_.stop();
}

io::Task<Result<void>> remove_members(metadata::Membership& etcd,
                                      std::function<bool(const metadata::Member&)> is_it,
                                      io::Call call) {
  CO_TRY(const auto there, co_await etcd.list(call));
  for (const metadata::Member& member : there) {
    if (is_it(member)) CO_TRY_VOID(co_await etcd.remove(member.id, call));
  }
  co_return Result<void>{};
}

class EtcdVoters final : public VoterMaker {
 public:
  std::unique_ptr<Voter> make(VoterParts parts) override {
    if (parts.state.external_etcd) return external_etcd_voter(std::move(parts));
    return std::make_unique<EtcdVoter>(std::move(parts));
  }
  io::Task<Result<std::unique_ptr<metadata::Metadata>>> open_own(io::World& world,
                                                                 io::Path file) override {
    return metadata::open_sqlite(world, std::move(file));
  }
  io::Task<Result<void>> remove(io::World& world, const security::IdentityStore& identity,
                                std::vector<io::Endpoint> endpoints, std::string name,
                                io::Call call) override;
  io::Task<Result<void>> remove_unbegun(io::World& world, const security::IdentityStore& identity,
                                        std::vector<io::Endpoint> endpoints, io::Endpoint peer,
                                        io::Call call) override;
};

io::Task<Result<void>> EtcdVoters::remove(io::World& world, const security::IdentityStore& identity,
                                          std::vector<io::Endpoint> endpoints, std::string name,
                                          io::Call call) {
  const auto etcd = open_membership(world, identity, std::move(endpoints));
  const auto is_it = [name](const metadata::Member& member) { return member.name == name; };
  co_return co_await remove_members(*etcd, is_it, std::move(call));
}

io::Task<Result<void>> EtcdVoters::remove_unbegun(io::World& world,
                                                  const security::IdentityStore& identity,
                                                  std::vector<io::Endpoint> endpoints,
                                                  io::Endpoint peer, io::Call call) {
  const std::string one_port = "https://" + peer.str();
  peer.port = static_cast<uint16_t>(peer.port + kEtcdPeerOffset);
  const std::string port_of_its_own = "https://" + peer.str();
  const auto etcd = open_membership(world, identity, std::move(endpoints));
  const auto is_it = [&](const metadata::Member& member) {
    return member.name.empty() && (std::ranges::count(member.peer_urls, one_port) > 0 ||
                                   std::ranges::count(member.peer_urls, port_of_its_own) > 0);
  };
  co_return co_await remove_members(*etcd, is_it, std::move(call));
}

}  // namespace

io::Endpoint etcd_on_loopback(const io::Endpoint& advertise, uint16_t offset) {
  return io::Endpoint::tcp("127.0.0.1", static_cast<uint16_t>(advertise.port + offset));
}

io::Endpoint etcd_endpoint(const ClusterState& state, uint16_t offset) {
  io::Endpoint at = etcd_on_loopback(state.advertise, offset);
  if (!state.one_port) at.host = state.advertise.host;
  return at;
}

bool knows_one_port(const cluster::Member& member) {
  return !is_older_version(member.version, kOnePortSince);
}

bool can_use_one_port(const Settings& settings, const io::Endpoint& advertise,
                      const std::vector<cluster::Member>& members) {
  return settings.one_port && !io::is_loopback(advertise.host) &&
         std::ranges::all_of(members, knows_one_port);
}

VoterMaker& etcd_voters() {
  static EtcdVoters voters;
  return voters;
}

}  // namespace om::app
