#include "security/join_token.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "sim/random.h"

namespace om::security {
namespace {

const io::WallTime kNow{std::chrono::seconds(1'800'000'000)};

JoinToken token_for_test() {
  sim::SimRandom random(7);
  auto token = make_join_token({io::Endpoint::tcp("10.0.0.1", 11435)}, Digest::of("authority"),
                               kNow + std::chrono::hours(1), random);
  EXPECT_TRUE(token.has_value());
  return *token;
}

void expect_same(const JoinToken& a, const JoinToken& b) {
  RC_ASSERT(a.id == b.id);
  RC_ASSERT(a.secret.reveal() == b.secret.reveal());
  RC_ASSERT(a.ca_pin == b.ca_pin);
  RC_ASSERT(a.expires == b.expires);
  RC_ASSERT(a.endpoints == b.endpoints);
}

JoinToken arbitrary_token() {
  std::vector<io::Endpoint> endpoints;
  const auto count = *rc::gen::inRange<size_t>(1, JoinToken::kEndpointsMax + 1);
  for (size_t i = 0; i < count; i++) {
    const auto host = *rc::gen::container<std::string>(*rc::gen::inRange<size_t>(1, 254),
                                                       rc::gen::inRange<char>('!', 127));
    endpoints.push_back(io::Endpoint::tcp(host, *rc::gen::inRange<uint16_t>(1, 65535)));
  }
  sim::SimRandom random(*rc::gen::arbitrary<uint64_t>());
  const auto expires = *rc::gen::inRange<int64_t>(0, int64_t{1} << 32);
  auto token = make_join_token(endpoints, Digest::of(*rc::gen::arbitrary<std::string>()),
                               io::WallTime(std::chrono::seconds(expires)), random);
  RC_ASSERT(token.has_value());
  return *token;
}

RC_GTEST_PROP(JoinToken, ComesBackFromItsText, ()) {
  const JoinToken token = arbitrary_token();
  const auto again = parse_join_token(join_token_text(token));
  RC_ASSERT(again.has_value());
  expect_same(token, *again);
}

RC_GTEST_PROP(JoinToken, IsRefusedWithAnyCharacterChanged, ()) {
  std::string text = join_token_text(arbitrary_token());
  const auto at = *rc::gen::inRange<size_t>(0, text.size());
  const char changed = *rc::gen::arbitrary<char>();
  RC_PRE(changed != text[at]);
  text[at] = changed;
  RC_ASSERT(!parse_join_token(text).has_value());
}

TEST(JoinToken, IsRefusedWithEveryCharacterChangedToEveryOther) {
  const std::string text = join_token_text(token_for_test());
  for (size_t at = 0; at < text.size(); at++) {
    for (int c = 0; c < 256; c++) {
      std::string changed = text;
      changed[at] = static_cast<char>(c);
      if (changed == text) continue;
      const auto parsed = parse_join_token(changed);
      ASSERT_FALSE(parsed.has_value()) << at << ' ' << c;
      ASSERT_EQ(parsed.error().code, Errc::invalid_argument);
    }
  }
}

TEST(JoinToken, SaysThatItIsDamagedWhenAPartIsMissing) {
  const std::string text = join_token_text(token_for_test());
  for (size_t length = 7; length < text.size(); length++) {
    const auto parsed = parse_join_token(text.substr(0, length));
    ASSERT_FALSE(parsed.has_value());
    EXPECT_EQ(parsed.error().what, "the token is damaged; copy all of it");
  }
}

TEST(JoinToken, MayBeBrokenOverLines) {
  std::string text = join_token_text(token_for_test());
  text.insert(40, "\r\n  ");
  EXPECT_TRUE(parse_join_token(" " + text + "\n").has_value());
}

TEST(JoinToken, FitsInTwoLinesOfATerminal) {
  EXPECT_LE(join_token_text(token_for_test()).size(), 120u);
}

TEST(JoinToken, SaysWhatItIsNot) {
  const auto parsed = parse_join_token("K10abcdef::server:0123");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_TRUE(parsed.error().what.starts_with("not a join token")) << parsed.error().what;
  EXPECT_FALSE(parse_join_token(std::string(5000, 'a')).has_value());
}

TEST(JoinToken, HoldsOnlyAddressesOthersCanReach) {
  sim::SimRandom random(1);
  const auto make = [&](std::vector<io::Endpoint> endpoints) {
    return make_join_token(std::move(endpoints), {}, kNow, random).has_value();
  };
  EXPECT_FALSE(make({}));
  EXPECT_FALSE(make({io::Endpoint::unix_socket("/run/x")}));
  EXPECT_FALSE(make({io::Endpoint::tcp("10.0.0.1", 0)}));
  EXPECT_FALSE(make({io::Endpoint::tcp(std::string(254, 'a'), 1)}));
  EXPECT_FALSE(make({io::Endpoint::tcp("two words", 1)}));
  EXPECT_FALSE(make(std::vector(5, io::Endpoint::tcp("n1", 1))));
  EXPECT_TRUE(make(std::vector(4, io::Endpoint::tcp("n1", 1))));
}

TEST(JoinToken, OpensTheDoorOnceAndInTime) {
  const JoinToken token = token_for_test();
  JoinTokenRecord record = join_token_record(token);
  const auto code = [&](const Secret& secret, io::WallTime now) {
    const auto checked = check_join_secret(record, secret, now);
    return checked ? Errc::internal : checked.error().code;  // internal: it opens.
  };
  EXPECT_EQ(code(token.secret, kNow), Errc::internal);
  EXPECT_EQ(code(token.secret, token.expires - std::chrono::nanoseconds(1)), Errc::internal);
  EXPECT_EQ(code(token.secret, token.expires), Errc::forbidden);
  EXPECT_EQ(code(Secret("0123456789abcdef"), kNow), Errc::unauthenticated);
  EXPECT_EQ(code(Secret(), kNow), Errc::unauthenticated);
  record.used_by = "n2";
  EXPECT_EQ(code(token.secret, kNow), Errc::forbidden);
  // A stranger is not told what became of the token.
  EXPECT_EQ(code(Secret("0123456789abcdef"), kNow), Errc::unauthenticated);
}

TEST(JoinToken, RecordDoesNotHoldTheSecret) {
  const JoinToken token = token_for_test();
  const JoinTokenRecord record = join_token_record(token);
  EXPECT_EQ(record.secret_hash, Digest::of(token.secret.reveal()));
  EXPECT_NE(record.secret_hash.hex().substr(0, 32),
            to_hex({reinterpret_cast<const uint8_t*>(token.secret.reveal().data()), 16}));
}

}  // namespace
}  // namespace om::security
