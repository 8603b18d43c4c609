#include "app/voter.h"

#include "base/log.h"

namespace om::app {
namespace {

bool is_numeric(std::string_view host) {
  return host.find(':') != host.npos || host.find_first_not_of("0123456789.") == host.npos;
}

io::Endpoint etcd_endpoint(const ClusterState& state, uint16_t offset) {
  return io::Endpoint::tcp(state.advertise.host,
                           static_cast<uint16_t>(state.advertise.port + offset));
}

metadata::MemberOptions member_options(const Settings& settings, const ClusterState& state,
                                       const io::Path& directory,
                                       const security::IdentityStore& identity) {
  metadata::MemberOptions options;
  options.program = settings.etcd_program;
  options.name = state.name;
  options.directory = voter_directory(directory);
  options.client = etcd_endpoint(state, kEtcdClientOffset);
  options.peer = etcd_endpoint(state, kEtcdPeerOffset);
  options.advertised_host = state.advertise.host;
  // etcd binds to addresses only. Loopback stays loopback.
  const std::string bound = is_numeric(state.advertise.host) ? state.advertise.host : "0.0.0.0";
  options.client.host = options.peer.host = bound;
  const metadata::EtcdCertificates certificates{identity.authorities_file(), identity.node_file(),
                                                identity.node_file()};
  options.client_certificates = options.peer_certificates = certificates;
  return options;
}

}  // namespace

io::Path voter_directory(const io::Path& cluster_directory) {
  return io::join(cluster_directory, "etcd");
}

Voter::Voter(io::World& world, const Settings& settings, const ClusterState& state,
             io::Path directory, const security::IdentityStore& identity)
    : world_(world),
      state_(state),
      identity_(identity),
      member_(world, member_options(settings, state, directory, identity)) {}

io::Endpoint Voter::client_endpoint() const { return etcd_endpoint(state_, kEtcdClientOffset); }

void Voter::open_metadata() {
  metadata::EtcdOptions options;
  options.endpoints = {member_.options().client};
  if (options.endpoints[0].host == "0.0.0.0") options.endpoints[0].host = "127.0.0.1";
  options.tls = identity_.client_of(state_.name);
  metadata_ = std::make_unique<metadata::EtcdMetadata>(world_, std::move(options));
}

io::Task<Result<void>> Voter::begin(io::Call call) {
  CO_TRY_VOID(co_await member_.begin(std::move(call)));
  open_metadata();
  co_return Result<void>{};
}

io::Task<Result<void>> Voter::resume(io::Call call) {
  auto resumed = co_await member_.resume(std::move(call));
  // Without a majority it does not answer yet, but runs: requests are served meanwhile.
  if (!resumed && !member_.running()) co_return fail(std::move(resumed).error());
  if (!resumed) log_warn("the facts' engine is not ready yet", field("error", resumed.error()));
  open_metadata();
  co_return Result<void>{};
}

io::Task<Result<void>> Voter::join(std::vector<io::Endpoint> others, io::Call call) {
  const auto membership = open_membership(world_, identity_, std::move(others));
  CO_TRY_VOID(co_await member_.join(*membership, std::move(call)));
  open_metadata();
  co_return Result<void>{};
}

io::Task<void> Voter::stop() {
  if (metadata_) co_await metadata_->stop();
  co_await member_.stop();
}

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

}  // namespace om::app
