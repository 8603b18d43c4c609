#include "http/proxy.h"

#include <gtest/gtest.h>

namespace om::http {
namespace {

TEST(Proxies, ReadsUrlsAsGoDoes) {
  const auto made = Proxies::make({.https = "proxy:3128", .http = "http://me:a%20b@[::1]"});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->choose(true, "x.org", 443)->at, io::Endpoint::tcp("proxy", 3128));
  EXPECT_EQ(made->choose(true, "x.org", 443)->authorization, "");
  EXPECT_EQ(made->choose(false, "x.org", 80)->at, io::Endpoint::tcp("::1", 80));
  EXPECT_EQ(made->choose(false, "x.org", 80)->authorization, "Basic bWU6YSBi");
  EXPECT_EQ(Proxies().choose(true, "x.org", 443), nullptr);
}

TEST(Proxies, RefusesWhatItCannotSpeakAndTellsNoPassword) {
  for (const char* text :
       {"socks5://me:secret@x", "https://x", "http://", "http://x:99999", "http://me:%zz@x",
        "http://a b", "http://x/y@", "http://me:1/secret@x", "http://me:1?secret@x"}) {
    const auto made = Proxies::make({.https = text});
    ASSERT_FALSE(made) << text;
    EXPECT_EQ(made.error().what.find("secret"), std::string::npos);
  }
  EXPECT_EQ(without_credentials("http://me:secret@x:1"), "http://***@x:1");
  EXPECT_EQ(without_credentials("me:secret@x"), "***@x");
  EXPECT_EQ(without_credentials("http://x"), "http://x");
}

bool direct(std::vector<std::string> none, std::string_view host, uint16_t port = 443) {
  return !Proxies::make({.https = "p:1", .none = std::move(none)})->choose(true, host, port);
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
