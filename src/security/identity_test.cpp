#include "security/identity.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/real.h"
#include "io/task_group.h"
#include "sim/world.h"

namespace om::security {
namespace {

using std::chrono::days;
using std::chrono::hours;

class IdentityFiles : public testing::Test {
 protected:
  io::WallTime now() { return world.clock().wall_now(); }
  // A node's own files, as after init or join.
  IdentityStore member(const std::string& name, io::Duration life = kNodeCertificateLife) {
    IdentityStore store(world.files(), "/" + name + "/cluster");
    const auto request = make_certificate_request(name);
    const auto certificate = issue_certificate(
        authority, request->request, {.name = name, .now = now(), .life = life}, world.random());
    EXPECT_TRUE(certificate.has_value());
    const auto saved = store.save(authority.certificate, *certificate, request->key, now());
    EXPECT_TRUE(saved.has_value()) << saved.error().what;
    return store;
  }

  sim::World world{1};
  Authority authority = make_authority("home", world.random(), now()).value();
  Authority other = make_authority("home", world.random(), now()).value();
};

TEST_F(IdentityFiles, ComeBackAsTheyWereSaved) {
  IdentityStore store = member("n1");
  const auto identity = store.load();
  ASSERT_TRUE(identity.has_value()) << identity.error().what;
  EXPECT_EQ(identity->name(), "n1");
  EXPECT_EQ(identity->authorities, authority.certificate);
  EXPECT_TRUE(check_key_pair(identity->certificate, identity->key).has_value());
  EXPECT_EQ(store.load_authority().error().code, Errc::not_found);
  ASSERT_TRUE(store.save_authority(authority).has_value());
  EXPECT_EQ(store.load_authority()->key.reveal(), authority.key.reveal());
  ASSERT_TRUE(store.forget_authority().has_value());
  EXPECT_EQ(store.load_authority().error().code, Errc::not_found);
  ASSERT_TRUE(store.forget().has_value());
  EXPECT_EQ(store.load().error().code, Errc::not_found);
}

TEST_F(IdentityFiles, AreNotWrittenUnlessTheyBelongTogether) {
  IdentityStore store(world.files(), "/n1/cluster");
  const auto request = make_certificate_request("n1"), stranger = make_certificate_request("n1");
  const std::string certificate =
      issue_certificate(authority, request->request, {.name = "n1", .now = now()}, world.random())
          .value();
  const auto code = [&](std::string_view authorities, const Secret& key, io::WallTime at) {
    return store.save(authorities, certificate, key, at).error().code;
  };
  EXPECT_EQ(code(other.certificate, request->key, now()), Errc::unauthenticated);
  EXPECT_EQ(code(authority.certificate, stranger->key, now()), Errc::unauthenticated);
  EXPECT_EQ(code(authority.certificate, request->key, now() + days(91)), Errc::unauthenticated);
  EXPECT_EQ(store.save_authority({authority.certificate, other.key}).error().code,
            Errc::unauthenticated);
  EXPECT_EQ(store.load().error().code, Errc::not_found);
}

TEST_F(IdentityFiles, AskWithTheSameKeyUntilTheyAreForgotten) {
  IdentityStore store(world.files(), "/n1/joining");
  const auto first = store.join_request("0123456789abcdef", "n1");
  ASSERT_TRUE(first.has_value()) << first.error().what;
  const auto again = store.join_request("0123456789abcdef", "n1");
  EXPECT_EQ(again->request, first->request);
  EXPECT_EQ(again->key.reveal(), first->key.reveal());
  EXPECT_EQ(requested_key(again->request)->hex(), requested_key(first->request)->hex());
  const auto other_token = store.join_request("fedcba9876543210", "n1");
  EXPECT_NE(other_token->request, first->request);
  const auto other_name = store.join_request("0123456789abcdef", "n2");
  EXPECT_EQ(requested_name(other_name->request).value(), "n2");
}

TEST_F(IdentityFiles, SayWhichFileIsDamaged) {
  IdentityStore store = member("n1");
  ASSERT_TRUE(world.files().write_file(store.node_file(), "").has_value());
  const auto loaded = store.load();
  EXPECT_EQ(loaded.error().code, Errc::corrupt);
  EXPECT_TRUE(loaded.error().what.contains("/n1/cluster/node.pem")) << loaded.error().what;
}

// The power goes out at every step of a renewal: the node has its old certificate or its new one.
TEST_F(IdentityFiles, SurviveACrashAtAnyMomentOfARenewal) {
  bool renewed = false;
  for (uint64_t call = 1; !renewed; call++) {
    IdentityStore store = member("n1");
    const std::string before = store.load()->certificate;
    const auto request = make_certificate_request("n1");
    const std::string after =
        issue_certificate(authority, request->request, {.name = "n1", .now = now()}, world.random())
            .value();
    world.files().fail_from_call(call);
    renewed = store.save(authority.certificate, after, request->key, now()).has_value();
    world.files().crash();
    const auto loaded = store.load();
    ASSERT_TRUE(loaded.has_value()) << call << ": " << loaded.error().what;
    EXPECT_TRUE(loaded->certificate.starts_with(after) ||
                (!renewed && loaded->certificate == before))
        << call;
    ASSERT_LT(call, 50u);
  }
}

TEST(IdentityOnDisk, IsReadableByItsOwnerOnly) {
  char directory[] = "/tmp/ollamamax_identity_XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  io::RealWorld real;
  io::World& world = real.world();
  IdentityStore store(world.files, std::string(directory) + "/cluster");
  const io::WallTime now = world.clock.wall_now();
  const Authority authority = make_authority("home", world.random, now).value();
  const auto request = make_certificate_request("n1");
  const auto certificate =
      issue_certificate(authority, request->request, {.name = "n1", .now = now}, world.random);
  ASSERT_TRUE(store.save(authority.certificate, *certificate, request->key, now).has_value());
  ASSERT_TRUE(store.save_authority(authority).has_value());
  for (const char* name : {"node.pem", "ca.key"}) {
    const auto mode =
        std::filesystem::status(fmt::format("{}/cluster/{}", directory, name)).permissions();
    EXPECT_EQ(static_cast<int>(mode), 0600) << name;
  }
  // What OpenSSL itself makes of them.
  auto listening = world.network.listen(io::Endpoint::tcp("127.0.0.1", 0), store.peer_server());
  EXPECT_TRUE(listening.has_value()) << listening.error().what;
  std::filesystem::remove_all(directory);
}

TEST(RenewalPlan, RenewsInTimeAndWhenTheAddressChanges) {
  const io::WallTime begin{std::chrono::seconds(1'800'000'000)};
  const CertificateFacts facts{.name = "n1",
                               .not_before = begin,
                               .not_after = begin + days(90),
                               .dns_names = {"n1", "localhost", "box1.lan"},
                               .addresses = {"10.0.0.1", "127.0.0.1"}};
  const std::vector<std::string> here{"10.0.0.1"}, moved{"10.0.0.1", "10.0.0.9"};
  EXPECT_EQ(plan_renewal(facts, here, begin).step, RenewalStep::wait);
  EXPECT_EQ(plan_renewal(facts, here, begin).look_again, begin + days(1));
  EXPECT_EQ(plan_renewal(facts, here, begin + days(60) - hours(3)).look_again, begin + days(60));
  EXPECT_EQ(plan_renewal(facts, here, begin + days(60)).step, RenewalStep::renew);
  EXPECT_EQ(plan_renewal(facts, here, begin + days(60)).look_again, begin + days(60) + hours(1));
  EXPECT_EQ(plan_renewal(facts, moved, begin).step, RenewalStep::renew);
  EXPECT_TRUE(plan_renewal(facts, moved, begin).why.contains("10.0.0.9"));
  const std::vector<std::string> named{"box1.lan"}, renamed{"box2.lan"};
  EXPECT_EQ(plan_renewal(facts, named, begin).step, RenewalStep::wait);
  EXPECT_EQ(plan_renewal(facts, renamed, begin).step, RenewalStep::renew);
  EXPECT_EQ(plan_renewal(facts, here, begin + days(90)).step, RenewalStep::join_again);
  EXPECT_EQ(plan_renewal(facts, here, begin - hours(5)).step, RenewalStep::wait);
  // Near the end it is tried more and more often, but not without a pause.
  const auto last = begin + days(90) - std::chrono::minutes(2);
  EXPECT_EQ(plan_renewal(facts, here, last).look_again, last + std::chrono::minutes(1));
}

TEST(CheckPeer, LetsInMembersOnly) {
  const std::string first(32, '5'), older(32, '4'), newer(32, '6');
  EXPECT_TRUE(check_peer("n1", first, &first));
  EXPECT_TRUE(check_peer("n1", newer, &first));  // It has renewed its certificate.
  EXPECT_EQ(check_peer("", "", nullptr).error().code, Errc::unauthenticated);
  for (const auto& refused : {check_peer("n1", older, &first), check_peer("n2", first, nullptr)}) {
    CHECK(!refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::forbidden);
    EXPECT_TRUE(refused.error().what.contains("join again with a new token")) << "what to do";
  }
}

// What a simulated peer port saw.
struct PeerPort {
  std::unique_ptr<io::Listener> listener;
  std::vector<std::string> names;
};

io::Task<void> accept_peers(PeerPort& port) {
  while (true) {
    auto stream = co_await port.listener->accept();
    if (!stream) co_return;
    port.names.push_back((*stream)->peer_certificate_name());
  }
}

io::Task<Result<std::string>> visit(sim::World& world, io::Endpoint at,
                                    std::shared_ptr<const io::Tls> tls) {
  CO_TRY(const auto stream, co_await world.world().network.connect(at, tls, {}));
  co_return stream->peer_certificate_name();
}

class SimulatedPeers : public IdentityFiles {
 protected:
  SimulatedPeers() {
    auto listening = world.network().listen(io::Endpoint::tcp("n1", 11435), server.peer_server());
    EXPECT_TRUE(listening.has_value());
    port.listener = std::move(*listening);
    tasks.spawn(accept_peers(port));
  }
  // The server's name, or why not.
  Result<std::string> connect(std::shared_ptr<const io::Tls> tls) {
    Result<std::string> got;
    world.run(connect_and_keep(std::move(tls), got), days(200));
    return got;
  }
  io::Task<void> connect_and_keep(std::shared_ptr<const io::Tls> tls, Result<std::string>& got) {
    got = co_await visit(world, port.listener->local(), std::move(tls));
  }
  void pass(io::Duration time) { world.run(sleep(time), days(200)); }
  io::Task<void> sleep(io::Duration time) {
    const auto slept = co_await world.clock().sleep_for(time);
    EXPECT_TRUE(slept.has_value());
  }
  void stop() {
    port.listener->close();
    world.run(tasks.stop());
  }

  IdentityStore server = member("n1");
  PeerPort port;
  io::TaskGroup tasks{world.world().executor, world.clock()};
};

TEST_F(SimulatedPeers, KnowEachOtherByName) {
  EXPECT_EQ(connect(member("n2").client_of("n1")).value(), "n1");
  EXPECT_EQ(connect(member("n2").client_of("n3")).error().code, Errc::unauthenticated);
  stop();
  EXPECT_EQ(port.names, std::vector<std::string>{"n2"});
}

TEST_F(SimulatedPeers, HearAJoiningNodeThatKnowsThePinOnly) {
  const Digest pin = read_certificate(authority.certificate)->fingerprint;
  EXPECT_EQ(connect(join_client(pin)).value(), "n1");
  EXPECT_EQ(connect(join_client(Digest::of("x"))).error().code, Errc::unauthenticated);
  stop();
  EXPECT_EQ(port.names, std::vector<std::string>{""});
}

TEST_F(SimulatedPeers, RefuseStrangersAndPlainConnections) {
  authority = other;
  const auto stranger = member("n2").client_of("n1");
  EXPECT_EQ(connect(stranger).error().code, Errc::unauthenticated);
  EXPECT_EQ(connect(nullptr).error().code, Errc::unavailable);
  stop();
  EXPECT_TRUE(port.names.empty());
}

TEST_F(SimulatedPeers, RefuseWhatHasExpiredUntilItIsRenewed) {
  const auto brief = member("n2", days(1)).client_of("n1");
  EXPECT_TRUE(connect(brief).has_value());
  pass(days(2));
  EXPECT_EQ(connect(brief).error().code, Errc::unauthenticated);
  member("n2");
  EXPECT_TRUE(connect(brief).has_value());
  pass(days(89));
  EXPECT_EQ(connect(brief).error().code, Errc::unauthenticated);  // Now it is n1's that is old.
  member("n1");
  EXPECT_TRUE(connect(brief).has_value());
  stop();
}

}  // namespace
}  // namespace om::security
