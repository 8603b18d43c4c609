// How one etcd child is started: our options as its command line.
// https://etcd.io/docs/v3.4/op-guide/configuration/
#pragma once

#include <optional>
#include <string>

#include "io/network.h"
#include "io/processes.h"

namespace om::metadata {

// PEM files, for one port. The certificate serves both sides of TLS (server and client): members
// call each other with it, and etcd's own gateway calls its server.
struct EtcdCertificates {
  std::string ca_file, certificate_file, key_file;
};

struct MemberOptions {
  std::string program = "/usr/bin/etcd";
  std::string name;       // Of the member, unique in the cluster: the node's.
  std::string directory;  // Its own; made with mode 0700.
  // Where it listens, and where the others reach it (empty host: the same).
  io::Endpoint client, peer;
  io::Endpoint advertised_client, advertised_peer;
  // "http://127.0.0.1:5000": the proxy (CONNECT) through which it reaches other members; empty:
  // none. The environment's proxies are not used.
  std::string proxy;
  // nullopt: plain, for tests.
  std::optional<EtcdCertificates> client_certificates, peer_certificates;
  std::string cluster_token = "ollamamax";  // Members of differing tokens never mix.
  int64_t quota_bytes = 1 << 30;            // Of the database; beyond it changes are refused.
  int heartbeat_ms = 100, election_ms = 1000;

  std::string client_url() const;  // Advertised.
  std::string peer_url() const;
  std::string data_directory() const { return directory + "/data"; }
};

// The cluster of the first start. Later starts know it from their data.
struct FirstStart {
  std::string initial_cluster;  // "name=peer_url,..."
  bool joining = false;         // Into a cluster that is there.
};

io::SpawnOptions member_command(const MemberOptions& options, const FirstStart& first);

}  // namespace om::metadata
