#include "peer/renewal.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "http/client.h"
#include "peer/metrics.h"
#include "sim/world.h"

namespace om::peer {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// A voter, which keeps the authority's key, and a node that does not; simulated machines, virtual
// time.
class Renewed : public ::testing::Test {
 protected:
  struct Machine {
    Machine(Renewed& test, std::string its_name, bool voter)
        : name(std::move(its_name)),
          identity(test.world_.files, "/" + name + "/cluster"),
          client(test.world_) {
      const auto request = security::make_certificate_request(name);
      const auto certificate = security::issue_certificate(
          test.authority_, request->request,
          {.name = name, .addresses = {"127.0.0.1"}, .now = test.now()}, test.world_.random);
      EXPECT_TRUE(
          identity.save(test.authority_.certificate, *certificate, request->key, test.now()));
      if (voter) {
        EXPECT_TRUE(identity.save_authority(test.authority_));
      }
      make_renewal(test);
    }
    void make_renewal(Renewed& test, io::Duration life = security::kNodeCertificateLife) {
      renewal = std::make_unique<Renewal>(RenewalLinks{
          test.world_, client, identity, name, [this](std::string_view) { return addresses; },
          [&test] { return test.voters(); }, life});
    }
    security::CertificateFacts facts() { return identity.load()->facts; }

    std::string name;
    security::IdentityStore identity;
    http::Client client;
    std::vector<std::string> addresses{"127.0.0.1"};  // As it knows them.
    std::unique_ptr<Renewal> renewal;
  };

  Renewed() {
    server_ = std::make_unique<http::Server>(
        world_, http::ServerLimits{},
        [this](http::Request& request, http::BodyReader& body, http::ResponseWriter& response) {
          return answer(request, body, response);
        });
    at_ = server_->listen(io::Endpoint::tcp("127.0.0.1", 0), voter_.identity.peer_server()).value();
  }
  ~Renewed() override {
    for (Machine* machine : {&voter_, &node_}) sim_.run(machine->renewal->stop());
    sim_.run(server_->stop(seconds(0)));
  }

  io::WallTime now() { return world_.clock.wall_now(); }
  std::vector<engine::PeerLink> voters() {
    const engine::PeerLink link{voter_.name, at_, node_.identity.client_of(voter_.name)};
    return std::vector(voter_count_, link);
  }
  void pass(io::Duration time) { sim_.run(sleep(time), time + hours(1)); }
  io::Task<void> sleep(io::Duration time) { (void)co_await world_.clock.sleep_for(time); }
  io::Task<void> answer(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) {
    const bool is_open = request.path == "/open";
    askers_.push_back(request.peer_certificate);
    if (is_open) {
      co_await hold_open(response);
    } else if (clock_ahead_ > hours(0) && askers_.size() % 2 == 1) {
      co_await answer_from_the_future(body, response);
    } else if (refusing_) {
      (void)co_await response.send(503, "text/plain", "");
    } else {
      co_await voter_.renewal->answer(request, body, response);
    }
  }
  // As a voter whose clock is ahead.
  io::Task<void> answer_from_the_future(http::BodyReader& body, http::ResponseWriter& response) {
    const auto asked = co_await body.read_all(100'000);
    const auto certificate = security::issue_certificate(
        authority_, *asked,
        {.name = node_.name, .addresses = {"127.0.0.1"}, .now = now() + clock_ahead_},
        world_.random);
    (void)co_await response.send(200, "application/x-pem-file", *certificate);
  }
  // A stream of one line every two minutes, for more than three hours.
  io::Task<void> hold_open(http::ResponseWriter& response) {
    (void)co_await response.start(200, "text/plain");
    for (int i = 0; i < 100; i++) {
      (void)co_await world_.clock.sleep_for(minutes(2));
      const auto written = co_await response.write("x");
      if (!written) co_return;
    }
    (void)co_await response.finish();
  }
  io::Task<void> read_stream(std::string& into) {
    auto request = voters()[0].request("GET", "/open");
    auto response = co_await node_.client.send(std::move(request), {});
    CHECK(response.has_value(), response ? "" : response.error().what);
    Result<bool> more = true;
    while (more && *more) more = co_await (*response)->read_some(into);
    stream_error_ = more ? Error{} : more.error();
  }

  // The node asks for a certificate of that name.
  io::Task<void> ask_as(std::string name, std::string& answered) {
    const auto request = security::make_certificate_request(name);
    auto asked = voters()[0].request("POST", std::string(kRenewPath), request->request);
    auto response = co_await node_.client.send(std::move(asked), {});
    CHECK(response.has_value(), response ? "" : response.error().what);
    EXPECT_EQ((*response)->status(), 403);
    answered = (co_await (*response)->read_all(100'000)).value();
  }

  sim::World sim_{5};
  io::World& world_ = sim_.world();
  security::Authority authority_ =
      security::make_authority("home", world_.random, world_.clock.wall_now()).value();
  Machine voter_{*this, "v1", true};
  Machine node_{*this, "n2", false};
  std::unique_ptr<http::Server> server_;
  io::Endpoint at_;
  std::vector<std::string> askers_;
  bool refusing_ = false;
  size_t voter_count_ = 1;
  hours clock_ahead_{0};
  Error stream_error_;
};

TEST_F(Renewed, ComesAfterTwoThirdsOfItsLifeAgainAndAgain) {
  const auto first = node_.facts();
  voter_.renewal->start();
  node_.renewal->start();
  pass(days(55));
  EXPECT_EQ(node_.facts().serial, first.serial);
  pass(days(10));
  const auto second = node_.facts();
  EXPECT_GT(second.serial, first.serial);
  EXPECT_GT(second.not_after, now() + days(80));
  EXPECT_EQ(second.addresses, first.addresses);
  EXPECT_EQ(askers_, std::vector<std::string>{"n2"});
  pass(days(365));
  EXPECT_GT(node_.facts().not_after, now() + days(25));
  EXPECT_GT(voter_.facts().not_after, now() + days(25));  // Its own key gave it.
  EXPECT_LE(askers_.size(), 8U);
  EXPECT_TRUE(node_.renewal->advice().empty());
}

TEST_F(Renewed, DropsNoStreamThatIsOpen) {
  for (Machine* machine : {&voter_, &node_}) {
    machine->make_renewal(*this, minutes(30));
    machine->renewal->start();
  }
  pass(minutes(1));
  ASSERT_LT(node_.facts().not_after, now() + hours(1));
  std::string read;
  sim_.run(read_stream(read));
  EXPECT_GT(askers_.size(), 8U);
  EXPECT_EQ(stream_error_.code, Error{}.code) << stream_error_.what;
  EXPECT_EQ(read, std::string(100, 'x'));
}

TEST_F(Renewed, IsTriedAgainUntilAVoterAnswers) {
  voter_.renewal->start();
  node_.renewal->start();
  refusing_ = true;
  const uint64_t failed = certificate_renewal_failures.value();
  pass(days(75));
  const auto old = node_.facts();
  EXPECT_LT(old.not_after, now() + days(16));
  EXPECT_GT(askers_.size(), 10U);
  EXPECT_GT(certificate_renewal_failures.value(), failed);
  refusing_ = false;
  pass(hours(2));
  EXPECT_GT(node_.facts().serial, old.serial);
}

TEST_F(Renewed, ANodeThatWasOffForTooLongIsToldWhatToDo) {
  voter_.renewal->start();
  pass(days(91));
  node_.renewal->start();
  pass(minutes(1));
  EXPECT_NE(node_.renewal->advice().find("ollamamax cluster remove n2"), std::string::npos)
      << node_.renewal->advice();
  EXPECT_TRUE(askers_.empty());  // The handshake would fail.
}

TEST_F(Renewed, AVoterThatWasOffForTooLongHelpsItself) {
  pass(days(200));
  voter_.renewal->renew_by_itself();
  EXPECT_GT(voter_.facts().not_after, now() + days(80));
  EXPECT_TRUE(voter_.renewal->advice().empty());
}

// As if it had been 200 days earlier than the clock said: it renewed itself then, and the clock was
// set right.
TEST_F(Renewed, AClockThatWasAheadLocksNoVoterOut) {
  const io::WallTime right = now();
  pass(days(200));
  voter_.renewal->renew_by_itself();
  const std::string certificate = voter_.identity.load()->certificate;
  EXPECT_GT(voter_.facts().not_after, now() + days(80));
  EXPECT_TRUE(security::verify_certificate(certificate, authority_.certificate, right));
  EXPECT_FALSE(security::needs_renewal(voter_.facts(), now() + days(59)));
  EXPECT_TRUE(security::needs_renewal(voter_.facts(), now() + days(61)));
}

TEST_F(Renewed, AVoterWhoseClockIsAheadDoesNotKeepTheOthersFromRenewing) {
  voter_count_ = 2;
  clock_ahead_ = hours(5);
  const std::string first = node_.facts().serial;
  node_.renewal->start();
  pass(days(61));
  EXPECT_NE(node_.facts().serial, first);
  EXPECT_GT(node_.facts().not_after, now() + days(80));
  EXPECT_EQ(askers_.size(), 2U);
}

TEST_F(Renewed, NobodyGetsACertificateForAnotherName) {
  std::string answered;
  sim_.run(ask_as("v1", answered));
  EXPECT_NE(answered.find("is for 'v1', not for 'n2'"), std::string::npos) << answered;
}

TEST_F(Renewed, AHostNameIsTakenUpAtOnce) {
  voter_.addresses.push_back("box1.lan");
  voter_.renewal->renew_by_itself();
  EXPECT_EQ(voter_.facts().dns_names, (std::vector<std::string>{"v1", "localhost", "box1.lan"}));
}

// As of a version that does not put host names into certificates.
TEST_F(Renewed, AVoterThatLeavesTheHostNameOutIsNotAskedAllTheTime) {
  node_.addresses.push_back("box2.lan");
  voter_.renewal->start();
  node_.renewal->start();
  pass(hours(10));
  EXPECT_GT(askers_.size(), 5U);
  EXPECT_LT(askers_.size(), 15U);
  voter_.addresses.push_back("box2.lan");  // It knows better now.
  pass(hours(2));
  EXPECT_EQ(node_.facts().dns_names.back(), "box2.lan");
}

TEST_F(Renewed, AShorterLifeIsTakenUpAtOnce) {
  voter_.make_renewal(*this, minutes(10));
  voter_.renewal->start();
  pass(seconds(5));
  EXPECT_LE(voter_.facts().not_after, now() + minutes(10));
  const std::string first = voter_.facts().serial;
  pass(minutes(30));
  EXPECT_GT(voter_.facts().serial, first);
  EXPECT_GT(voter_.facts().not_after, now());
}

// A node whose clock is behind sees its certificate live longer than it would make it live itself.
TEST_F(Renewed, AClockThatIsBehindIsNoReasonForAnother) {
  voter_.make_renewal(*this, security::kNodeCertificateLife - minutes(5));
  const std::string first = voter_.facts().serial;
  voter_.renewal->start();
  pass(hours(1));
  EXPECT_EQ(voter_.facts().serial, first);
}

}  // namespace
}  // namespace om::peer
