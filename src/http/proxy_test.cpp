#include "http/proxy.h"

#include <gtest/gtest.h>

namespace om::http {
namespace {

TEST(Proxies, ReadsUrlsAsGoDoes) {
  const Proxies made({.https = "proxy:3128", .http = "http://me:a%20b@[::1]"});
  const io::Proxy* https = made.choose(true, "x.org", 443).value();
  EXPECT_EQ(https->at, io::Endpoint::tcp("proxy", 3128));
  EXPECT_EQ(https->authorization, "");
  const io::Proxy* http = made.choose(false, "x.org", 80).value();
  EXPECT_EQ(http->at, io::Endpoint::tcp("::1", 80));
  EXPECT_EQ(http->authorization, "Basic bWU6YSBi");
  EXPECT_EQ(Proxies().choose(true, "x.org", 443).value(), nullptr);
}

TEST(Proxies, RefusesWhatItCannotSpeakAndTellsNoPassword) {
  for (const char* text :
       {"socks5://me:secret@x", "https://x", "http://", "http://x:99999", "http://me:%zz@x",
        "http://a b", "http://x/y@", "http://me:1/secret@x", "http://me:1?secret@x"}) {
    const auto checked = check_proxy(text);
    ASSERT_FALSE(checked) << text;
    EXPECT_EQ(checked.error().what.find("secret"), std::string::npos);
  }
  EXPECT_EQ(without_credentials("http://me:secret@x:1"), "http://***@x:1");
  EXPECT_EQ(without_credentials("me:secret@x"), "***@x");
  EXPECT_EQ(without_credentials("http://x"), "http://x");
}

TEST(Proxies, NothingGoesAroundOneThatCannotBeUsed) {
  const Proxies made({.https = "socks5://me:secret@x:1080", .none = {"near.org"}});
  const auto chosen = made.choose(true, "x.org", 443);
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().code, Errc::unsupported);
  EXPECT_EQ(chosen.error().what,
            "HTTPS_PROXY: \"socks5://***@x:1080\": only proxies at http:// are spoken to");
  EXPECT_EQ(made.choose(true, "near.org", 443).value(), nullptr);
  EXPECT_EQ(made.choose(true, "localhost", 443).value(), nullptr);
  EXPECT_EQ(made.choose(false, "x.org", 80).value(), nullptr);
}

bool direct(std::vector<std::string> none, std::string_view host, uint16_t port = 443) {
  return !Proxies({.https = "p:1", .none = std::move(none)}).choose(true, host, port).value();
}

TEST(Proxies, ThisMachineIsAskedDirectly) {
  for (const char* host :
       {"localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(direct({}, host)) << host;
  }
  EXPECT_FALSE(direct({}, "10.0.0.1"));
  EXPECT_FALSE(direct({}, "localhost.org"));
}

TEST(Proxies, NamesAddressesAndRangesAreExcepted) {
  EXPECT_TRUE(direct({"*"}, "x.org"));
  EXPECT_TRUE(direct({" Example.com "}, "example.COM"));
  EXPECT_TRUE(direct({"example.com"}, "a.b.example.com"));
  EXPECT_FALSE(direct({"example.com"}, "badexample.com"));
  EXPECT_FALSE(direct({".example.com"}, "example.com"));
  EXPECT_TRUE(direct({".example.com"}, "a.example.com"));
  EXPECT_TRUE(direct({"*.example.com"}, "a.example.com"));
  EXPECT_TRUE(direct({"x.org:5000"}, "x.org", 5000));
  EXPECT_FALSE(direct({"x.org:5000"}, "x.org", 443));
  EXPECT_TRUE(direct({"10.0.0.0/8"}, "10.200.3.4"));
  EXPECT_FALSE(direct({"10.0.0.0/8"}, "11.0.0.1"));
  EXPECT_FALSE(direct({"10.0.0.0/8"}, "ten.org"));
  EXPECT_TRUE(direct({"0.0.0.0/0"}, "8.8.8.8"));
  EXPECT_TRUE(direct({"fd00::/8"}, "fd12::1"));
  EXPECT_FALSE(direct({"fd00::/8"}, "fe80::1"));
  EXPECT_TRUE(direct({"192.168.1.5"}, "192.168.1.5"));
  EXPECT_TRUE(direct({"192.168.1.5:8080"}, "192.168.1.5", 8080));
  EXPECT_TRUE(direct({"[fd00::2]:8080"}, "fd00::2", 8080));
  EXPECT_TRUE(direct({"fd00::2"}, "fd00::2"));
  EXPECT_FALSE(direct({"", ".", "10.0.0.0/99", "x/8", ":80"}, "10.0.0.1"));
}

}  // namespace
}  // namespace om::http
