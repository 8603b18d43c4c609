#include "cluster/admission.h"

#include "cluster/metadata_for_test.h"
#include "security/certificates.h"

namespace om::cluster {
namespace {

using std::chrono::hours;
using testing::Bench;
using ::testing::HasSubstr;

// A cluster with its authority that may be asked to let nodes in.
class Door {
 public:
  explicit Door(Bench& bench) : bench_(bench) {
    auto authority =
        security::make_authority("home", bench.world().random, bench.sim.clock().wall_now());
    EXPECT_TRUE(authority.has_value());
    if (authority) authority_ = std::move(*authority);
  }

  io::Task<security::JoinToken> token(io::Duration life = kTokenLife) {
    auto token = co_await offer_token(bench_.world(), *bench_.metadata,
                                      {io::Endpoint::tcp("10.0.0.1", 11435)},
                                      Digest::of("authority"), life, bench_.call());
    EXPECT_TRUE(token.has_value());
    co_return token ? std::move(*token) : security::JoinToken();
  }
  io::Task<Result<JoinAnswer>> ask(const security::JoinToken& token, std::string name,
                                   std::string host = "10.0.0.2") {
    co_return co_await ask(request_for(token, name, std::move(host)));
  }
  io::Task<Result<JoinAnswer>> ask(JoinRequest request) {
    co_return co_await admit(bench_.world(), *bench_.metadata, authority_, std::move(request),
                             bench_.call());
  }
  JoinRequest request_for(const security::JoinToken& token, std::string_view name,
                          std::string host = "10.0.0.2") {
    const auto made = security::make_certificate_request(name);
    EXPECT_TRUE(made.has_value());
    JoinRequest request;
    request.token_id = token.id;
    request.secret = token.secret;
    request.certificate_request = made->request;
    request.peer = io::Endpoint::tcp(std::move(host), 11435);
    request.version = "1.0";
    return request;
  }
  const security::Authority& authority() const { return authority_; }

 private:
  Bench& bench_;
  security::Authority authority_;
};

Errc code_of(const Result<JoinAnswer>& answer) {
  EXPECT_FALSE(answer.has_value());
  return answer ? Errc::internal : answer.error().code;
}

TEST(Admission, ANodeWithATokenGetsACertificateAndIsAMember) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    const auto answer = co_await door.ask(token, "blue");
    CO_ASSERT(answer.has_value());
    EXPECT_EQ(answer->authority, door.authority().certificate);
    const auto now = bench.sim.clock().wall_now();
    EXPECT_TRUE(
        security::verify_certificate(answer->certificate, answer->authority, now).has_value());
    const auto facts = security::read_certificate(answer->certificate);
    CO_ASSERT(facts.has_value());
    EXPECT_EQ(facts->name, "blue");
    EXPECT_THAT(facts->addresses, ::testing::Contains("10.0.0.2"));
    CO_ASSERT(answer->members.size() == 1);
    EXPECT_EQ(answer->members[0].name, "blue");
    EXPECT_EQ(answer->members[0].peer, io::Endpoint::tcp("10.0.0.2", 11435));
    EXPECT_EQ(answer->members[0].serial, facts->serial);
    EXPECT_FALSE(answer->members[0].voter);
  });
}

TEST(Admission, ACertificateHoldsForTheHostNameThatIsAdvertised) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    const auto answer = co_await door.ask(token, "blue", "Box1.lan");
    CO_ASSERT(answer.has_value());
    const auto facts = security::read_certificate(answer->certificate);
    EXPECT_THAT(facts->dns_names, ::testing::Contains("box1.lan"));
  });
}

TEST(Admission, NobodyGetsACertificateForAnothersName) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto first = co_await door.token();
    const auto blue = co_await door.ask(first, "blue", "box1");
    EXPECT_TRUE(blue.has_value());
    const auto token = co_await door.token();
    const auto host = co_await door.ask(token, "red", "Blue");
    EXPECT_EQ(code_of(host), Errc::invalid_argument);
    const auto name = co_await door.ask(token, "box1");
    EXPECT_EQ(code_of(name), Errc::invalid_argument);
    const auto own = co_await door.ask(token, "red", "red");
    EXPECT_TRUE(own.has_value());
  });
}

TEST(Admission, ATokenIsGoodOnce) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    const auto first = co_await door.ask(token, "blue");
    EXPECT_TRUE(first.has_value());
    const auto second = co_await door.ask(token, "red");
    EXPECT_EQ(code_of(second), Errc::forbidden);
    const auto members = co_await bench.metadata->list(std::string(kNodesPrefix), bench.call());
    EXPECT_EQ(members->entries.size(), 1u);
  });
}

io::Task<void> take_token(Door& door, security::JoinToken token) {
  const auto taken = co_await door.ask(token, "red");
  EXPECT_TRUE(taken.has_value());
}

TEST(Admission, WhoseTokenIsTakenAtTheSameMomentHearsThat) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    bench.metadata->before_commit = [&door, token] { return take_token(door, token); };
    const auto answer = co_await door.ask(token, "blue");
    CO_ASSERT(!answer.has_value());
    EXPECT_EQ(answer.error().code, Errc::forbidden);
    EXPECT_THAT(answer.error().what, HasSubstr("used already, by node 'red'"));
  });
}

TEST(Admission, AWrongSecretOrAnUnknownTokenOpensNothing) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    auto guessed = token;
    guessed.secret = security::Secret(std::string(security::JoinToken::kSecretBytes, 'x'));
    const auto wrong = co_await door.ask(guessed, "blue");
    EXPECT_EQ(code_of(wrong), Errc::unauthenticated);
    guessed = token;
    guessed.id = "0123456789abcdef";
    const auto unknown = co_await door.ask(guessed, "blue");
    EXPECT_EQ(code_of(unknown), Errc::unauthenticated);
    const auto right = co_await door.ask(token, "blue");
    EXPECT_TRUE(right.has_value());  // Wrong tries cost the token nothing.
  });
}

TEST(Admission, ATokenExpires) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token(hours(2));
    co_await bench.sleep(hours(2) + std::chrono::seconds(1));
    const auto late = co_await door.ask(token, "blue");
    EXPECT_EQ(code_of(late), Errc::forbidden);
  });
}

TEST(Admission, ANameIsTakenUntilItsMemberIsRemoved) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto first = co_await door.token();
    const auto blue = co_await door.ask(first, "blue");
    EXPECT_TRUE(blue.has_value());
    const auto second = co_await door.token();
    const auto again = co_await door.ask(second, "blue");
    CO_ASSERT(!again.has_value());
    EXPECT_EQ(again.error().code, Errc::already_exists);
    EXPECT_THAT(again.error().what, HasSubstr("cluster remove blue"));
    const auto record = co_await bench.metadata->get("/nodes/blue", bench.call());
    CO_ASSERT(record && *record);
    EXPECT_EQ(read_member((*record)->value)->serial, blue->members[0].serial);
    co_await bench.remove("/nodes/blue");
    const auto anew = co_await door.ask(second, "blue");  // The refusal has not used the token up.
    EXPECT_TRUE(anew.has_value());
  });
}

// Its disk was full, or the answer came too late.
TEST(Admission, WhoeverHasNotHeardThatItWasLetInIsAnsweredAgain) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    JoinRequest request = door.request_for(token, "blue");
    const auto lost = co_await door.ask(request);
    CO_ASSERT(lost.has_value());
    request.peer.host = "10.0.0.3";
    const auto again = co_await door.ask(request);
    CO_ASSERT(again.has_value());
    const auto first = security::read_certificate(lost->certificate);
    const auto second = security::read_certificate(again->certificate);
    EXPECT_GT(second->serial, first->serial);
    EXPECT_THAT(second->addresses, ::testing::Contains("10.0.0.3"));
    CO_ASSERT(again->members.size() == 1);
    EXPECT_EQ(again->members[0].serial, first->serial);
    EXPECT_EQ(again->members[0].peer.host, "10.0.0.3");
    const auto other_key = co_await door.ask(token, "blue");
    EXPECT_EQ(code_of(other_key), Errc::forbidden);
    co_await bench.remove("/nodes/blue");
    const auto removed = co_await door.ask(request);
    EXPECT_EQ(code_of(removed), Errc::forbidden);
  });
}

TEST(Admission, AWrongClockCostsTheTokenNothing) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    JoinRequest request = door.request_for(token, "blue");
    const auto now =
        std::chrono::floor<std::chrono::seconds>(bench.sim.clock().wall_now()).time_since_epoch();
    for (const auto off : {-hours(3), hours(3)}) {
      request.time_seconds = (now + off).count();
      const auto refused = co_await door.ask(request);
      CO_ASSERT(!refused.has_value());
      EXPECT_EQ(refused.error().code, Errc::invalid_argument);
      EXPECT_THAT(refused.error().what, HasSubstr("180 minutes"));
    }
    const auto members = co_await bench.metadata->list(std::string(kNodesPrefix), bench.call());
    EXPECT_TRUE(members->entries.empty());
    request.time_seconds = (now - std::chrono::minutes(50)).count();
    const auto answer = co_await door.ask(request);
    EXPECT_TRUE(answer.has_value());
  });
}

TEST(Admission, TokensThatExpiredLongAgoAreForgotten) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto late = co_await door.token(-hours(20));
    const auto old = co_await door.token(-hours(26));
    (void)co_await door.token();
    const auto tokens = co_await bench.metadata->list(std::string(kTokensPrefix), bench.call());
    EXPECT_EQ(tokens->entries.size(), 2u);
    const auto told = co_await door.ask(late, "blue");
    EXPECT_EQ(code_of(told), Errc::forbidden);
    const auto unknown = co_await door.ask(old, "blue");
    EXPECT_EQ(code_of(unknown), Errc::unauthenticated);
  });
}

TEST(Admission, LetsNobodyInWithoutAMajority) {
  Bench().run([](Bench& bench) -> io::Task<void> {
    Door door(bench);
    const auto token = co_await door.token();
    bench.metadata->away = true;
    const auto refused = co_await door.ask(token, "blue");
    EXPECT_EQ(code_of(refused), Errc::not_leader);
    bench.metadata->away = false;
    const auto answer = co_await door.ask(token, "blue");
    EXPECT_TRUE(answer.has_value());
  });
}

TEST(Admission, ARequestSaysWhoAsksAndFromWhere) {
  for (const char* text : {"{}", R"({"token":"a","secret":"eA==","port":1})",
                           R"({"token":"a","secret":"eA==","host":"h"})",
                           R"({"token":"a","secret":"*","host":"h","port":1})", "nonsense"}) {
    EXPECT_FALSE(read_join_request(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace om::cluster
