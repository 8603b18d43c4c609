#include "security/registry_key.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <rapidcheck/gtest.h>

#include "base/base64.h"

namespace om::security {
namespace {

// Made with `ssh-keygen -t ed25519 -N "" -C comment`; used for nothing else.
constexpr std::string_view kMadeByOpenSsh = R"(-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBkcKBtCaDzep/FUV5C4qFJXs4Ig9xlthunRwtHfBSfXgAAAJC8SbNuvEmz
bgAAAAtzc2gtZWQyNTUxOQAAACBkcKBtCaDzep/FUV5C4qFJXs4Ig9xlthunRwtHfBSfXg
AAAEBkA7GriR579PTiMly6lIVXWp28VqbfNFUp9CipoQLYP2RwoG0JoPN6n8VRXkLioUle
zgiD3GW2G6dHC0d8FJ9eAAAAB2NvbW1lbnQBAgMEBQY=
-----END OPENSSH PRIVATE KEY-----
)";
constexpr std::string_view kItsPublicText =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGRwoG0JoPN6n8VRXkLioUlezgiD3GW2G6dHC0d8FJ9e";

std::array<uint8_t, 32> seed_of(uint8_t first) {
  std::array<uint8_t, 32> seed{};
  for (size_t i = 0; i < seed.size(); i++) seed[i] = static_cast<uint8_t>(first + i);
  return seed;
}

std::array<uint8_t, 32> from_hex(std::string_view hex) {
  std::array<uint8_t, 32> out{};
  for (size_t i = 0; i < out.size(); i++) {
    out[i] = static_cast<uint8_t>(std::stoi(std::string(hex.substr(2 * i, 2)), nullptr, 16));
  }
  return out;
}

TEST(RegistryKey, ReadsWhatSshKeygenWrites) {
  const auto key = RegistryKey::parse(kMadeByOpenSsh);
  ASSERT_TRUE(key) << key.error().what;
  EXPECT_EQ(key->public_text(), kItsPublicText);
}

TEST(RegistryKey, SignsAsTheFirstTestVectorOfRfc8032) {
  const auto key = RegistryKey::from_seed(
      from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
  const std::string signature = key.sign("");
  EXPECT_EQ(to_hex(std::span(reinterpret_cast<const uint8_t*>(signature.data()), 64)),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
            "39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST(RegistryKey, ComesBackFromItsOwnText) {
  const auto key = RegistryKey::from_seed(seed_of(7));
  const auto again = RegistryKey::parse(key.private_text(42));
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(again->public_text(), key.public_text());
  EXPECT_EQ(again->sign("text"), key.sign("text"));
}

RC_GTEST_PROP(RegistryKey, RefusesDamagedFilesWithoutReadingOutside, ()) {
  const auto key = RegistryKey::from_seed(seed_of(1));
  std::string raw = key.private_text(7);
  const size_t at = *rc::gen::inRange<size_t>(0, raw.size());
  raw[at] = *rc::gen::arbitrary<char>();
  raw.resize(*rc::gen::inRange<size_t>(0, raw.size() + 1));
  const auto parsed = RegistryKey::parse(raw);
  if (parsed) RC_ASSERT(parsed->public_text() == key.public_text());
}

TEST(RegistryKey, RefusesAKeyWhosePublicHalfIsAnothers) {
  const std::string mine = RegistryKey::from_seed(seed_of(1)).private_text(0);
  std::string text = mine;
  auto blob = base64_decode(text.substr(36, text.size() - 36 - 34));
  ASSERT_TRUE(blob);
  const size_t at = blob->rfind("ssh-ed25519") + 11 + 4;  // First byte of the public half inside.
  (*blob)[at] = static_cast<char>((*blob)[at] + 1);
  const auto parsed = RegistryKey::parse(
      fmt::format("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
                  base64_encode(*blob)));
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, Errc::corrupt);
}

}  // namespace
}  // namespace om::security
