#include "security/certificates.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <rapidcheck/gtest.h>

#include "security/authority.h"
#include "security/openssl.h"
#include "sim/random.h"

namespace om::security {
namespace {

using std::chrono::days;
using std::chrono::hours;

const io::WallTime kNow{std::chrono::seconds(1'800'000'000)};

class Certificates : public testing::Test {
 protected:
  Authority authority(uint64_t seed = 1) {
    sim::SimRandom random(seed);
    return make_authority("home", random, kNow).value();
  }
  Result<std::string> issue(const Authority& by, const IssueOptions& options) {
    const auto request = make_certificate_request(options.name);
    EXPECT_TRUE(request.has_value()) << request.error().what;
    return issue_certificate(by, request->request, options, random_);
  }
  std::string node(const Authority& by, std::string name, io::WallTime now = kNow) {
    return issue(by, {.name = std::move(name), .now = now}).value();
  }
  sim::SimRandom random_{42};
};

TEST_F(Certificates, SayWhoseTheyAreAndWhereTheyHold) {
  const Authority ca = authority();
  const auto pem =
      issue(ca, {.name = "node-2", .addresses = {"10.0.0.2", "fd00:0::2"}, .now = kNow});
  ASSERT_TRUE(pem.has_value()) << pem.error().what;
  const auto facts = read_certificate(*pem);
  ASSERT_TRUE(facts.has_value()) << facts.error().what;
  EXPECT_EQ(facts->name, "node-2");
  EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"node-2", "localhost"}));
  EXPECT_EQ(facts->addresses,
            (std::vector<std::string>{"10.0.0.2", "127.0.0.1", "::1", "fd00::2"}));
  EXPECT_EQ(facts->not_before, kNow - hours(1));
  EXPECT_EQ(facts->not_after, kNow + days(90));
  EXPECT_FALSE(facts->is_authority);
  EXPECT_TRUE(read_certificate(ca.certificate)->is_authority);
  EXPECT_EQ(read_certificate(ca.certificate)->name, "OllamaMax home");
}

TEST_F(Certificates, HoldForTheHostNameUnderWhichANodeIsReached) {
  const auto pem =
      issue(authority(),
            {.name = "n1", .addresses = {"Box1.LAN", "n1", "localhost", "10.0.0.2"}, .now = kNow});
  ASSERT_TRUE(pem.has_value()) << pem.error().what;
  const auto facts = read_certificate(*pem);
  EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"n1", "localhost", "box1.lan"}));
  EXPECT_EQ(facts->addresses, (std::vector<std::string>{"10.0.0.2", "127.0.0.1", "::1"}));
}

TEST_F(Certificates, HoldOnlyUnderTheirAuthorityAndInTheirTime) {
  const Authority ca = authority(), other = authority(2);
  const std::string pem = node(ca, "n1");
  const auto code = [&](std::string_view authorities, io::WallTime now) {
    const auto verified = verify_certificate(pem, authorities, now);
    return verified ? Errc::internal : verified.error().code;
  };
  EXPECT_EQ(code(ca.certificate, kNow), Errc::internal);
  EXPECT_EQ(code(ca.certificate, kNow - hours(1)), Errc::internal);  // A clock that is behind.
  EXPECT_EQ(code(ca.certificate, kNow - hours(2)), Errc::unauthenticated);
  EXPECT_EQ(code(ca.certificate, kNow + days(89)), Errc::internal);
  EXPECT_EQ(code(ca.certificate, kNow + days(91)), Errc::unauthenticated);
  EXPECT_EQ(code(other.certificate, kNow), Errc::unauthenticated);
  // While the authority is being changed both are trusted.
  EXPECT_EQ(code(other.certificate + ca.certificate, kNow), Errc::internal);
  EXPECT_EQ(code("", kNow), Errc::corrupt);
}

TEST_F(Certificates, OfNodesMakeNoOtherCertificates) {
  const Authority ca = authority();
  const auto request = make_certificate_request("n1");
  const std::string pem =
      issue_certificate(ca, request->request, {.name = "n1", .now = kNow}, random_).value();
  const Authority pretender{pem, request->key};
  const std::string forged = node(pretender, "n2");
  EXPECT_FALSE(verify_certificate(forged + pem, ca.certificate, kNow).has_value());
  EXPECT_FALSE(verify_certificate(forged, pem, kNow).has_value());
}

TEST_F(Certificates, HaveNoAuthorityByAClockThatWasNeverSet) {
  const auto made = make_authority("home", random_, io::WallTime(hours(5)));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::invalid_argument);
  EXPECT_NE(made.error().what.find("clock says that it is 1970"), std::string::npos);
}

TEST_F(Certificates, FindTheirAuthorityByItsPin) {
  const Authority ca = authority();
  const std::string chain = node(ca, "n1") + ca.certificate;
  const Digest pin = read_certificate(ca.certificate)->fingerprint;
  EXPECT_EQ(find_pinned(chain, pin).value(), ca.certificate);
  EXPECT_EQ(find_pinned(chain, Digest::of("other")).error().code, Errc::unauthenticated);
}

TEST_F(Certificates, BelongToOneKey) {
  const Authority ca = authority(), other = authority(2);
  EXPECT_TRUE(check_key_pair(ca.certificate, ca.key).has_value());
  EXPECT_EQ(check_key_pair(ca.certificate, other.key).error().code, Errc::unauthenticated);
  EXPECT_EQ(check_key_pair(ca.certificate, Secret("no key")).error().code, Errc::corrupt);
}

// As a voter gives itself one after its clock was ahead: serials grow, and it began long ago.
TEST_F(Certificates, OfAClockThatWasAheadAreNotRenewedAgainAndAgain) {
  const auto ahead = std::chrono::floor<std::chrono::milliseconds>(kNow + days(365));
  CertificateFacts facts;
  facts.not_before = kNow - days(400);
  facts.serial = fmt::format("{:012x}{:020x}", ahead.time_since_epoch().count(), 1);
  for (const days life : {days(90), days(7)}) {
    facts.not_after = kNow + life;
    const io::WallTime due = kNow + io::Duration(life) / 3 * 2;
    EXPECT_FALSE(needs_renewal(facts, due - std::chrono::hours(1), life));
    EXPECT_TRUE(needs_renewal(facts, due + std::chrono::hours(1), life));
  }
}

TEST_F(Certificates, AreRenewedAfterTwoThirdsOfTheirLife) {
  const auto facts = read_certificate(node(authority(), "n1"));
  EXPECT_FALSE(needs_renewal(*facts, kNow));
  EXPECT_FALSE(needs_renewal(*facts, kNow + days(59)));
  EXPECT_TRUE(needs_renewal(*facts, kNow + days(60)));
  EXPECT_TRUE(needs_renewal(*facts, kNow + days(100)));
}

TEST_F(Certificates, HaveSerialsThatGrowThoughTheClockGoesBack) {
  const Authority ca = authority();
  const auto first = read_certificate(node(ca, "n1", kNow));
  const auto request = make_certificate_request("n1");
  const IssueOptions options{.name = "n1",
                             .addresses = {},
                             .now = kNow - std::chrono::minutes(5),
                             .replaces = first->serial};
  const auto text = issue_certificate(ca, request->request, options, random_);
  ASSERT_TRUE(text) << text.error().what;
  const auto second = read_certificate(*text);
  EXPECT_GT(second->serial, first->serial);
  EXPECT_LT(second->not_after, first->not_after);
}

TEST_F(Certificates, HaveSerialsThatGrowWithTime) {
  const Authority ca = authority();
  const auto first = read_certificate(node(ca, "n1", kNow));
  const auto second = read_certificate(node(ca, "n1", kNow + std::chrono::milliseconds(1)));
  EXPECT_LT(first->serial, second->serial);
  EXPECT_EQ(first->serial.size(), 32u);
  EXPECT_EQ(issue_time(first->serial), kNow);
  EXPECT_EQ(issue_time("01"), io::WallTime{});
  EXPECT_EQ(issue_time(std::string(32, 'g')), io::WallTime{});
}

TEST_F(Certificates, HaveTheSameLengthEachTime) {
  const Authority ca = authority();
  const size_t length = node(ca, "n1").size();
  const size_t request = make_certificate_request("n1")->request.size();
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(node(ca, "n1").size(), length);
    EXPECT_EQ(make_certificate_request("n1")->request.size(), request);
    EXPECT_EQ(authority(static_cast<uint64_t>(i)).certificate.size(), ca.certificate.size());
  }
}

TEST_F(Certificates, EndWithTheirAuthority) {
  const Authority ca = authority();
  const io::WallTime late = kNow + days(3640);
  EXPECT_EQ(read_certificate(node(ca, "n1", late))->not_after, kNow + days(3650));
  const auto after = issue(ca, {.name = "n1", .now = kNow + days(3651)});
  EXPECT_EQ(after.error().code, Errc::forbidden);
}

TEST_F(Certificates, AreIssuedOnlyToTheNameAsked) {
  const Authority ca = authority();
  const auto request = make_certificate_request("n1");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(requested_name(request->request).value(), "n1");
  const auto issued = issue_certificate(ca, request->request, {.name = "n2", .now = kNow}, random_);
  EXPECT_EQ(issued.error().code, Errc::invalid_argument);
  const Authority mixed{ca.certificate, authority(2).key};
  EXPECT_EQ(issue(mixed, {.name = "n1", .now = kNow}).error().code, Errc::unauthenticated);
  for (const char* none : {"n1 local", "*.local", "", "n1..local", ".local"}) {
    const auto address = issue(ca, {.name = "n1", .addresses = {none}, .now = kNow});
    EXPECT_EQ(address.error().code, Errc::invalid_argument) << none;
  }
}

TEST_F(Certificates, AreNotIssuedForARequestThatIsNotSigned) {
  auto request = request_from_pem(make_certificate_request("n1")->request);
  ASSERT_TRUE(request.has_value());
  const KeyPtr stranger(EVP_EC_gen("P-256"));
  X509_REQ_set_pubkey(request->get(), stranger.get());
  EXPECT_EQ(requested_name(to_pem(request->get())).error().code, Errc::corrupt);
}

TEST_F(Certificates, AreNotIssuedForOtherKinds) {
  for (const KeyPtr& key : {KeyPtr(EVP_EC_gen("P-384")), KeyPtr(EVP_RSA_gen(1024))}) {
    const RequestPtr request(X509_REQ_new());
    X509_REQ_set_pubkey(request.get(), key.get());
    X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request.get()), NID_commonName,
                               MBSTRING_UTF8, reinterpret_cast<const uint8_t*>("n1"), 2, -1, 0);
    ASSERT_GT(X509_REQ_sign(request.get(), key.get(), EVP_sha256()), 0);
    EXPECT_EQ(requested_name(to_pem(request.get())).error().code, Errc::unsupported);
  }
}

TEST_F(Certificates, LeaveNoErrorsForTheNextUserOfOpenSsl) {
  EXPECT_FALSE(read_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
  EXPECT_FALSE(requested_name("nothing"));
  EXPECT_FALSE(canonical_address("nowhere"));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_F(Certificates, WithAPassphraseAreRefusedWithoutAsking) {
  const auto parsed = key_from_pem(
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjQ7vTJVn0XZAICCAAw\n"
      "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEB1NA1PqL9T5q4dC5Xr2ZL4EgZBk\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_EQ(parsed.error().code, Errc::corrupt);
}

RC_GTEST_PROP(CertificateText, IsRefusedOrReadWhenDamaged, ()) {
  static const std::string whole = [] {
    sim::SimRandom random(1);
    return make_authority("home", random, kNow).value().certificate;
  }();
  std::string text = whole;
  text[*rc::gen::inRange<size_t>(0, text.size())] = *rc::gen::arbitrary<char>();
  const auto facts = read_certificate(text);
  // The signature is not looked at by reading; a change must show in verification.
  if (facts && read_certificate(whole)->fingerprint != facts->fingerprint) {
    RC_ASSERT(!verify_certificate(text, whole, kNow).has_value());
  }
}

TEST(NodeName, IsSafeWhereverItGoes) {
  for (const char* name : {"a", "node-1", "gpu_3.rack2", "0a"}) {
    EXPECT_TRUE(check_node_name(name).has_value()) << name;
  }
  for (const char* name : {"", "N1", "1", "10.0.0.1", "-a", "a-", ".a", "a.", "a..b", "a b", "a/b",
                           "*", "*.a", "a\n", "localhost", "n\xc3\xb6", "::1"}) {
    EXPECT_FALSE(check_node_name(name).has_value()) << name;
  }
  EXPECT_TRUE(check_node_name(std::string(63, 'a')).has_value());
  EXPECT_FALSE(check_node_name(std::string(64, 'a')).has_value());
}

}  // namespace
}  // namespace om::security
