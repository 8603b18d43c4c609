// Members as a cluster of ours runs them, with real etcd children and mutual TLS.
#include "metadata/etcd/member.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include <filesystem>

#include "metadata/etcd/etcd_metadata.h"
#include "metadata/testing/contract.h"
#include "metadata/testing/etcd_cluster.h"

namespace om::metadata::testing {
namespace {

using std::chrono::seconds;

// One certificate for this machine that is its own authority, as files.
EtcdCertificates make_certificate(const std::string& folder) {
  EtcdCertificates files{folder + "/own.crt", folder + "/own.crt", folder + "/own.key"};
  EVP_PKEY* pair = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -60);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, pair);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(x509, X509_get_subject_name(x509));
  for (const auto& [kind, value] : {std::pair(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1"),
                                    std::pair(NID_basic_constraints, "critical,CA:TRUE"),
                                    std::pair(NID_ext_key_usage, "serverAuth,clientAuth")}) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  }
  EXPECT_GT(X509_sign(x509, pair, EVP_sha256()), 0);
  FILE* file = fopen(files.certificate_file.c_str(), "w");
  EXPECT_EQ(PEM_write_X509(file, x509), 1);
  fclose(file);
  file = fopen(files.key_file.c_str(), "w");
  EXPECT_EQ(PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr), 1);
  fclose(file);
  X509_free(x509);
  EVP_PKEY_free(pair);
  return files;
}

// Nodes of one cluster, each with a folder and ports; every port speaks mutual TLS.
class Nodes {
 public:
  Nodes()
      : folder_(std::filesystem::temp_directory_path() /
                fmt::format("member-test-{}", world.world().random.letters(12))) {
    std::filesystem::create_directories(folder_);
    certificates_ = make_certificate(folder_);
  }
  ~Nodes() { std::filesystem::remove_all(folder_); }

  MemberOptions member(const std::string& name) {
    auto& options = options_[name];
    if (options.name.empty()) {
      options.name = name;
      options.directory = folder_ / name;
      options.client = io::Endpoint::tcp("127.0.0.1", free_port(world.world()));
      options.peer = io::Endpoint::tcp("127.0.0.1", free_port(world.world()));
      options.client_certificates = certificates_;
      options.peer_certificates = certificates_;
    }
    return options;
  }
  EtcdOptions endpoints(const std::vector<std::string>& names) {
    EtcdOptions options;
    for (const auto& name : names) options.endpoints.push_back(member(name).client);
    auto tls = std::make_shared<io::Tls>();
    tls->ca_file = certificates_.ca_file;
    tls->certificate_file = certificates_.certificate_file;
    tls->key_file = certificates_.key_file;
    options.tls = std::move(tls);
    return options;
  }
  io::Call call() { return world.world().clock.call_within(seconds(60)); }
  std::string folder(const std::string& name) const { return folder_ / name; }

  io::RealWorld world;

 private:
  std::filesystem::path folder_;
  EtcdCertificates certificates_;
  std::map<std::string, MemberOptions> options_;
};

io::Task<void> keeps(Metadata& metadata, std::string value, io::Call call) {
  Transaction transaction;
  transaction.operations = {Operation::put("k", value)};
  Result<Commit> done = fail(Errc::internal, "not asked");
  while (!done && !call.cancel.cancelled()) {
    done = co_await metadata.commit(transaction, call);
    if (!done && done.error().code != Errc::not_leader) break;
  }
  ok(std::move(done));
  const auto entry = ok(co_await metadata.get("k", call));
  EXPECT_TRUE(entry && entry->value == value);
}

io::Task<void> grows(Nodes& nodes) {
  io::World& world = nodes.world.world();
  EtcdMember a(world, nodes.member("a")), b(world, nodes.member("b")), c(world, nodes.member("c"));
  EXPECT_FALSE(a.has_begun());
  ok(co_await a.begin(nodes.call()));
  EtcdMetadata metadata(world, nodes.endpoints({"a"}));
  co_await keeps(metadata, "alone", nodes.call());
  Membership cluster(world, nodes.endpoints({"a"}));
  ok(co_await b.join(cluster, nodes.call()));
  ok(co_await c.join(cluster, nodes.call()));
  auto members = ok(co_await cluster.list(nodes.call()));
  EXPECT_EQ(members.size(), 3u);
  for (const auto& member : members) EXPECT_FALSE(member.learner) << member.name;

  metadata.set_endpoints(nodes.endpoints({"a", "b", "c"}).endpoints);
  cluster.set_endpoints(nodes.endpoints({"b", "c", "a"}).endpoints);
  for (const auto& health : co_await cluster.health(nodes.call())) {
    EXPECT_TRUE(health.status && health.status->leader != 0) << health.error;
  }
  // A child that is killed comes back by itself, with its data.
  const int before = a.pid();
  ::kill(before, SIGKILL);
  co_await keeps(metadata, "without a", nodes.call());
  while (!a.running() || a.pid() == before) ok(co_await world.clock.sleep_for(seconds(1) / 10));
  // A node that lost its disk is refused, and told what to do; whatever was left of it.
  co_await c.stop();
  std::filesystem::remove_all(nodes.folder("c") + "/data");
  const auto without_data = co_await c.resume(nodes.call());
  EXPECT_EQ(code_of(without_data), Errc::corrupt);
  EXPECT_THAT(without_data.error().what, HasSubstr("remove it from the cluster"));
  std::filesystem::remove_all(nodes.folder("c"));
  const auto empty = co_await c.join(cluster, nodes.call());
  EXPECT_EQ(code_of(empty), Errc::already_exists);
  EXPECT_THAT(empty.error().what, HasSubstr("Remove it from the cluster"));
  members = ok(co_await cluster.list(nodes.call()));
  for (const auto& member : members) {
    if (member.name == "c") ok(co_await cluster.remove(member.id, nodes.call()));
  }
  ok(co_await c.join(cluster, nodes.call()));
  co_await keeps(metadata, "three again", nodes.call());
  // After an outage of all, the first one back waits for another.
  for (auto* member : {&a, &b, &c}) co_await member->stop();
  const auto alone = co_await a.resume(world.clock.call_within(seconds(2)));
  EXPECT_EQ(code_of(alone), Errc::deadline_exceeded);
  EXPECT_TRUE(a.running());
  ok(co_await b.resume(nodes.call()));
  co_await keeps(metadata, "two of three", nodes.call());

  co_await metadata.stop();
  for (auto* member : {&a, &b, &c}) co_await member->stop();
  EXPECT_FALSE(a.running());
}

// Without the bounds etcd keeps every change, and once its database is full refuses all further
// ones.
TEST(EtcdMember, IsStartedWithItsBoundsAndOutOfOurOptionsAlone) {
  MemberOptions options;
  options.name = "a";
  options.directory = "/d";
  options.client = io::Endpoint::tcp("127.0.0.1", 1);
  options.peer = io::Endpoint::tcp("127.0.0.1", 2);
  options.client_certificates = {"ca", "c.crt", "c.key"};
  options.peer_certificates = {"ca", "p.crt", "p.key"};
  const io::SpawnOptions spawn = member_command(options, {"a=https://127.0.0.1:2", true});
  const std::string line = fmt::format("{} ", fmt::join(spawn.argv, " "));
  for (const char* words : {"--quota-backend-bytes=1073741824 ", "--auto-compaction-mode=periodic ",
                            "--auto-compaction-retention=1h ", "--snapshot-count=10000 ",
                            " --client-cert-auth=true ", "--peer-client-cert-auth=true ",
                            "--data-dir=/d/data ", "--initial-cluster-state=existing "}) {
    EXPECT_THAT(line, HasSubstr(words));
  }
  for (const char* name : {"ETCD_DATA_DIR", "ETCD_CONFIG_FILE", "ETCD_FORCE_NEW_CLUSTER",
                           "ETCD_DISCOVERY", "HTTPS_PROXY"}) {
    EXPECT_THAT(spawn.environment_removed, Contains(name));
  }
}

TEST(EtcdMember, GrowsAClusterOverMutualTlsAndRefusesAMemberWithoutItsData) {
  Nodes nodes;
  nodes.world.run_until_done(grows(nodes));
}

io::Task<void> restarts(Nodes& nodes) {
  io::World& world = nodes.world.world();
  {
    EtcdMember a(world, nodes.member("a"));
    ok(co_await a.begin(nodes.call()));
    EtcdMetadata metadata(world, nodes.endpoints({"a"}));
    co_await keeps(metadata, "kept", nodes.call());
    co_await metadata.stop();
    co_await a.stop();
  }
  EtcdMember a(world, nodes.member("a"));
  EXPECT_TRUE(a.has_begun());
  EXPECT_EQ(code_of(co_await a.begin(nodes.call())), Errc::already_exists);
  ok(co_await a.resume(nodes.call()));
  EtcdMetadata metadata(world, nodes.endpoints({"a"}));
  const auto entry = ok(co_await metadata.get("k", nodes.call()));
  EXPECT_TRUE(entry && entry->value == "kept");
  co_await metadata.stop();

  // A client without the cluster's certificate learns nothing.
  auto strangers = nodes.endpoints({"a"});
  auto tls = std::make_shared<io::Tls>();
  tls->verify = false;
  strangers.tls = std::move(tls);
  EtcdMetadata stranger(world, strangers);
  EXPECT_FALSE((co_await stranger.get("k", nodes.call())).has_value());
  co_await stranger.stop();
  co_await a.stop();
}

TEST(EtcdMember, ResumesWithItsDataAndKeepsStrangersOut) {
  Nodes nodes;
  nodes.world.run_until_done(restarts(nodes));
}

// The way to the others ends when the new member runs, before it has a vote.
io::Task<void> cut_off(Nodes& nodes, EtcdMember& member, Membership& cluster) {
  io::World& world = nodes.world.world();
  while (!member.running()) {
    ok(co_await world.clock.sleep_for(std::chrono::milliseconds(20)));
  }
  cluster.set_endpoints({io::Endpoint::tcp("127.0.0.1", free_port(world))});
}

io::Task<void> breaks_off(Nodes& nodes) {
  io::World& world = nodes.world.world();
  EtcdMember a(world, nodes.member("a")), b(world, nodes.member("b"));
  ok(co_await a.begin(nodes.call()));
  Membership cluster(world, nodes.endpoints({"a"}));
  io::TaskGroup tasks(world.executor, world.clock);
  tasks.spawn(cut_off(nodes, b, cluster));
  EXPECT_FALSE((co_await b.join(cluster, world.clock.call_within(seconds(10)))).has_value());
  co_await tasks.stop();
  co_await b.stop();

  cluster.set_endpoints(nodes.endpoints({"a"}).endpoints);
  ok(co_await b.resume(nodes.call()));
  for (const bool learner : {true, false}) {
    for (const auto& member : ok(co_await cluster.list(nodes.call()))) {
      EXPECT_EQ(member.learner, learner && member.name == "b") << member.name;
    }
    ok(co_await b.finish_join(cluster, nodes.call()));
  }
  for (auto* member : {&a, &b}) co_await member->stop();
}

TEST(EtcdMember, HasAVoteInTheEndThoughItsJoiningBrokeOff) {
  Nodes nodes;
  nodes.world.run_until_done(breaks_off(nodes));
}

// A node without etcd, then one whose etcd cannot listen: the next one has its vote all the same.
io::Task<void> never_starts(Nodes& nodes) {
  io::World& world = nodes.world.world();
  EtcdMember a(world, nodes.member("a")), c(world, nodes.member("c"));
  ok(co_await a.begin(nodes.call()));
  Membership cluster(world, nodes.endpoints({"a"}));
  auto options = nodes.member("b");
  options.program = "/no/such/etcd";
  EtcdMember absent(world, options);
  const auto refused = co_await absent.join(cluster, nodes.call());
  EXPECT_EQ(code_of(refused), Errc::not_found);
  EXPECT_THAT(refused.error().what, HasSubstr("install etcd-server"));
  EXPECT_EQ(ok(co_await cluster.list(nodes.call())).size(), 1u);

  EtcdMember b(world, nodes.member("b"));
  {
    const auto taken = world.network.listen(nodes.member("b").peer, nullptr);
    EXPECT_TRUE(taken.has_value());
    EXPECT_EQ(code_of(co_await b.join(cluster, nodes.call())), Errc::unavailable);
  }
  EXPECT_FALSE(b.has_begun());
  // Who looks after the members takes it out, and c comes; b must not begin with a list without it.
  for (const auto& member : ok(co_await cluster.list(nodes.call()))) {
    if (member.name.empty()) ok(co_await cluster.remove(member.id, nodes.call()));
  }
  ok(co_await c.join(cluster, nodes.call()));
  ok(co_await b.join(cluster, nodes.call()));
  EXPECT_EQ(ok(co_await cluster.list(nodes.call())).size(), 3u);
  for (auto* member : {&a, &b, &c}) co_await member->stop();
}

TEST(EtcdMember, ThatNeverStartsKeepsNoOtherOut) {
  Nodes nodes;
  nodes.world.run_until_done(never_starts(nodes));
}

io::Task<void> moves(Nodes& nodes) {
  io::World& world = nodes.world.world();
  EtcdMember a(world, nodes.member("a")), b(world, nodes.member("b"));
  ok(co_await a.begin(nodes.call()));
  ok(co_await a.tell_address(nodes.call()));  // Nothing is to be told.
  co_await a.stop();
  MemberOptions elsewhere = nodes.member("a");
  elsewhere.peer.port = free_port(world);
  EtcdMember moved(world, elsewhere);
  ok(co_await moved.resume(nodes.call()));
  ok(co_await moved.tell_address(nodes.call()));
  Membership cluster(world, nodes.endpoints({"a"}));
  const auto members = ok(co_await cluster.list(nodes.call()));
  EXPECT_EQ(members.at(0).peer_urls, std::vector{elsewhere.peer_url()});
  ok(co_await b.join(cluster, nodes.call()));  // It is found there.
  for (auto* member : {&moved, &b}) co_await member->stop();
}

TEST(EtcdMember, TellsTheOthersWhereItHasMoved) {
  Nodes nodes;
  nodes.world.run_until_done(moves(nodes));
}

io::Task<void> is_a_stranger(Nodes& nodes) {
  io::World& world = nodes.world.world();
  EtcdMember a(world, nodes.member("a")), b(world, nodes.member("b"));
  ok(co_await a.begin(nodes.call()));
  ok(co_await b.begin(nodes.call()));
  Membership cluster(world, nodes.endpoints({"a"}));
  ok(co_await a.check_cluster(cluster, nodes.call()));
  EXPECT_EQ(code_of(co_await b.check_cluster(cluster, nodes.call())), Errc::forbidden);
  for (auto* member : {&a, &b}) co_await member->stop();
}

TEST(EtcdMember, OfAnotherClusterIsRecognized) {
  Nodes nodes;
  nodes.world.run_until_done(is_a_stranger(nodes));
}

// Its program is gone when it is to come back, and its folder cannot be written: as on a full disk.
io::Task<void> waits(Nodes& nodes) {
  io::World& world = nodes.world.world();
  const std::string program = nodes.folder("program"), note = nodes.folder("a") + "/member.json";
  auto options = nodes.member("a");
  std::filesystem::create_symlink(options.program, program);
  options.program = program;
  EtcdMember a(world, options);
  ok(co_await a.begin(nodes.call()));
  co_await a.stop();
  std::filesystem::remove(program);
  std::filesystem::remove(note);
  std::filesystem::create_directory(note);
  EXPECT_EQ(code_of(co_await a.resume(nodes.call())), Errc::not_found);
  EXPECT_TRUE(a.goes_on());
  std::filesystem::create_symlink(nodes.member("a").program, program);
  EtcdMetadata metadata(world, nodes.endpoints({"a"}));
  co_await keeps(metadata, "back", nodes.call());
  co_await metadata.stop();
  co_await a.stop();
  EXPECT_FALSE(a.goes_on());
}

TEST(EtcdMember, ThatHasBegunIsStartedUntilItCanRun) {
  Nodes nodes;
  nodes.world.run_until_done(waits(nodes));
}

io::Task<void> fails(Nodes& nodes) {
  io::World& world = nodes.world.world();
  auto options = nodes.member("a");
  options.program = "/no/such/etcd";
  EtcdMember absent(world, options);
  EXPECT_EQ(code_of(co_await absent.begin(nodes.call())), Errc::not_found);
  options = nodes.member("b");
  options.client_certificates->key_file = "/no/such/key";
  EtcdMember broken(world, options);
  const auto begun = co_await broken.begin(nodes.call());
  EXPECT_EQ(code_of(begun), Errc::unavailable);
  EXPECT_THAT(begun.error().what, HasSubstr("/no/such/key"));
  EXPECT_FALSE(broken.running());
}

TEST(EtcdMember, SaysWhyItCanNotStart) {
  Nodes nodes;
  nodes.world.run_until_done(fails(nodes));
}

}  // namespace
}  // namespace om::metadata::testing
