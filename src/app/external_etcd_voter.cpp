// Voters of a cluster whose facts are in an etcd that its users run.
#include <charconv>

#include "app/voter.h"
#include "base/log.h"
#include "cluster/members.h"
#include "http/message.h"
#include "metadata/etcd/etcd_metadata.h"
#include "metadata/etcd/membership.h"

namespace om::app {
namespace {

constexpr int kOldestMinor = 4;  // etcd 3.4: the first with /v3/ and learners.

// "3.4.23". True for what cannot be read: a fork may count otherwise.
bool is_new_enough(std::string_view version) {
  int minor = kOldestMinor;
  if (version.starts_with("3.")) {
    (void)std::from_chars(version.data() + 2, version.data() + version.size(), minor);
  }
  return minor >= kOldestMinor && !version.starts_with("2.");
}

Result<metadata::EtcdOptions> etcd_options(const Settings& settings) {
  metadata::EtcdOptions options;
  options.prefix = settings.etcd_prefix;
  bool is_secure = false;
  for (const std::string& text : settings.etcd_endpoints) {
    TRY(const http::Url url, http::Url::parse(text));
    options.endpoints.push_back(io::Endpoint::tcp(url.host, url.port));
    is_secure = url.scheme == "https";
  }
  if (options.endpoints.empty()) {
    return fail(Errc::invalid_argument,
                "the facts of this node's cluster are in an etcd that no node runs: "
                "cluster.etcd_endpoints must name it");
  }
  if (!is_secure) return options;
  auto tls = std::make_shared<io::Tls>();  // No server_name: each endpoint's own host.
  tls->ca_file = settings.etcd_ca_file;
  tls->certificate_file = settings.etcd_certificate_file;
  tls->key_file =
      settings.etcd_key_file.empty() ? settings.etcd_certificate_file : settings.etcd_key_file;
  options.tls = std::move(tls);
  return options;
}

class ExternalEtcdVoter final : public Voter {
 public:
  explicit ExternalEtcdVoter(VoterParts parts) : parts_(std::move(parts)) {}

  io::Task<Result<void>> begin(io::Call call) override;
  io::Task<Result<void>> resume(io::Call) override { co_return open(); }
  io::Task<Result<void>> join(std::vector<io::Endpoint>, io::Call call) override;
  bool has_begun() const override { return false; }
  bool was_removed() const override { return false; }
  metadata::Metadata& metadata() override { return *metadata_; }
  std::string client_url() const override { return parts_.settings.etcd_endpoints.front(); }
  std::string peer_url() const override { return {}; }
  io::Task<void> stop() override {
    if (metadata_) co_await metadata_->stop();
  }

 private:
  Result<void> open();
  io::Task<Result<void>> check_version(io::Call call);

  VoterParts parts_;
  std::unique_ptr<metadata::EtcdMetadata> metadata_;
};

Result<void> ExternalEtcdVoter::open() {
  TRY(auto options, etcd_options(parts_.settings));
  metadata_ = std::make_unique<metadata::EtcdMetadata>(parts_.world, std::move(options));
  return {};
}

io::Task<Result<void>> ExternalEtcdVoter::check_version(io::Call call) {
  CO_TRY(auto options, etcd_options(parts_.settings));
  metadata::Membership etcd(parts_.world, std::move(options));
  std::string errors;
  for (const auto& member : co_await etcd.health(call)) {
    if (!member.status) {
      errors +=
          fmt::format("{}{}: {}", errors.empty() ? "" : "; ", member.endpoint.str(), member.error);
    } else if (!is_new_enough(member.status->version)) {
      co_return fail(Errc::unsupported, "the etcd at {} is version {}; it takes 3.{} or newer",
                     member.endpoint.str(), member.status->version, kOldestMinor);
    } else {
      co_return Result<void>{};
    }
  }
  co_return fail(Errc::unavailable, "no etcd answers at cluster.etcd_endpoints ({})", errors);
}

io::Task<Result<void>> ExternalEtcdVoter::begin(io::Call call) {
  CO_TRY_VOID(co_await check_version(call));
  CO_TRY_VOID(open());
  CO_TRY(const metadata::Snapshot there, co_await metadata_->list("/", std::move(call)));
  if (there.entries.empty()) co_return Result<void>{};
  co_return fail(Errc::already_exists,
                 "a cluster has its facts under '{}' in the etcd at {} already: join it, or set "
                 "another cluster.etcd_prefix; what a cluster left behind that is gone, `etcdctl "
                 "del --prefix {}` removes",
                 parts_.settings.etcd_prefix, client_url(), parts_.settings.etcd_prefix);
}

io::Task<Result<void>> ExternalEtcdVoter::join(std::vector<io::Endpoint>, io::Call call) {
  CO_TRY_VOID(open());
  const std::string self = std::string(cluster::kNodesPrefix) + parts_.state.name;
  CO_TRY(const auto record, co_await metadata_->get(self, std::move(call)));
  if (record) co_return Result<void>{};
  co_return fail(Errc::invalid_argument,
                 "the etcd at {} has another cluster's facts, or none, under '{}': "
                 "cluster.etcd_endpoints and cluster.etcd_prefix must be those of the other nodes",
                 client_url(), parts_.settings.etcd_prefix);
}

}  // namespace

std::unique_ptr<Voter> external_etcd_voter(VoterParts parts) {
  return std::make_unique<ExternalEtcdVoter>(std::move(parts));
}

}  // namespace om::app
