#include "metadata/etcd/member_options.h"

namespace om::metadata {
namespace {

std::string url(bool tls, const io::Endpoint& at) {
  return fmt::format("{}://{}", tls ? "https" : "http", at.str());
}

void add(std::vector<std::string>& argv, std::string_view flag, std::string value) {
  argv.push_back(fmt::format("--{}={}", flag, value));
}

void add_certificates(std::vector<std::string>& argv, std::string_view prefix,
                      const std::optional<EtcdCertificates>& files) {
  if (!files) return;
  add(argv, fmt::format("{}cert-file", prefix), files->certificate_file);
  add(argv, fmt::format("{}key-file", prefix), files->key_file);
  add(argv, fmt::format("{}trusted-ca-file", prefix), files->ca_file);
  add(argv, fmt::format("{}client-cert-auth", prefix), "true");
}

}  // namespace

std::string MemberOptions::client_url() const {
  return url(client_certificates.has_value(),
             advertised_client.host.empty() ? client : advertised_client);
}

std::string MemberOptions::peer_url() const {
  return url(peer_certificates.has_value(), advertised_peer.host.empty() ? peer : advertised_peer);
}

io::SpawnOptions member_command(const MemberOptions& options, const FirstStart& first) {
  io::SpawnOptions spawn;
  auto& argv = spawn.argv;
  argv = {options.program};
  add(argv, "name", options.name);
  add(argv, "data-dir", options.data_directory());
  add(argv, "listen-client-urls", url(options.client_certificates.has_value(), options.client));
  add(argv, "advertise-client-urls", options.client_url());
  add(argv, "listen-peer-urls", url(options.peer_certificates.has_value(), options.peer));
  add(argv, "initial-advertise-peer-urls", options.peer_url());
  add(argv, "initial-cluster", first.initial_cluster);
  add(argv, "initial-cluster-state", first.joining ? "existing" : "new");
  add(argv, "initial-cluster-token", options.cluster_token);
  add_certificates(argv, "", options.client_certificates);
  add_certificates(argv, "peer-", options.peer_certificates);
  add(argv, "heartbeat-interval", std::to_string(options.heartbeat_ms));
  add(argv, "election-timeout", std::to_string(options.election_ms));
  add(argv, "quota-backend-bytes", std::to_string(options.quota_bytes));
  add(argv, "auto-compaction-mode", "periodic");
  add(argv, "auto-compaction-retention", "1h");
  // The default of 100,000 entries between snapshots keeps that many in memory.
  add(argv, "snapshot-count", "10000");
  add(argv, "logger", "zap");
  add(argv, "log-outputs", "stderr");
  add(argv, "log-level", "warn");
  // What the environment says of etcd is about another one.
  for (const char* name :
       {"ETCD_NAME", "ETCD_DATA_DIR", "ETCD_WAL_DIR", "ETCD_LISTEN_CLIENT_URLS",
        "ETCD_LISTEN_PEER_URLS", "ETCD_ADVERTISE_CLIENT_URLS", "ETCD_INITIAL_ADVERTISE_PEER_URLS",
        "ETCD_INITIAL_CLUSTER", "ETCD_INITIAL_CLUSTER_STATE", "ETCD_INITIAL_CLUSTER_TOKEN",
        "ETCD_CONFIG_FILE", "ETCD_FORCE_NEW_CLUSTER", "ETCD_DISCOVERY", "HTTPS_PROXY",
        "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}) {
    spawn.environment_removed.emplace_back(name);
  }
  if (!options.proxy.empty()) spawn.environment.emplace_back("HTTPS_PROXY", options.proxy);
  return spawn;
}

}  // namespace om::metadata
