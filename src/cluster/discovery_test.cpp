#include "cluster/discovery.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace om::cluster {
namespace {

using Kind = DiscoverySource::Kind;

// Names mean what the test says now.
class TestNames final : public io::NameService {
 public:
  io::Task<Result<std::vector<io::Endpoint>>> lookup(io::Endpoint name, io::Call) override {
    const auto found = names.find(name.host);
    if (found == names.end()) co_return fail(Errc::not_found, "lookup {}: unknown", name.host);
    std::vector<io::Endpoint> endpoints;
    for (const std::string& address : found->second) {
      endpoints.push_back(io::Endpoint::tcp(address, name.port));
    }
    co_return endpoints;
  }

  std::map<std::string, std::vector<std::string>> names;
};

class Discovered : public ::testing::Test {
 protected:
  std::vector<io::Endpoint> find(std::vector<std::string> texts) {
    std::vector<io::Endpoint> found;
    sim_.run(look(parse_discovery(texts).value(), found));
    return found;
  }
  io::Task<void> look(std::vector<DiscoverySource> sources, std::vector<io::Endpoint>& found) {
    found = co_await discover(world_, service_, std::move(sources), {});
  }

  sim::World sim_{3};
  io::World& world_ = sim_.world();
  TestNames service_;
  std::map<std::string, std::vector<std::string>>& names_ = service_.names;
};

TEST(DiscoverySources, AreReadFromTheirTexts) {
  const std::vector<std::string> texts{"10.0.0.1", "[::1]:7000", "dns:nodes.example:99",
                                       "dns:nodes", "mdns"};
  const auto sources = parse_discovery(texts).value();
  EXPECT_EQ(sources[0].endpoint, io::Endpoint::tcp("10.0.0.1", kPeerPort));
  EXPECT_EQ(sources[1].endpoint, io::Endpoint::tcp("::1", 7000));
  EXPECT_EQ(sources[2].kind, Kind::dns);
  EXPECT_EQ(sources[2].endpoint, io::Endpoint::tcp("nodes.example", 99));
  EXPECT_EQ(sources[3].endpoint.port, kPeerPort);
  EXPECT_EQ(sources[4].kind, Kind::mdns);
  for (const std::string wrong :
       {"", "dns:", "host:0", "host:port", "http://host", "[::1", "a b", "a\n"}) {
    const std::vector<std::string> one{wrong};
    EXPECT_FALSE(parse_discovery(one)) << wrong;
  }
}

TEST_F(Discovered, FindsWhatANameMeansNow) {
  names_["nodes"] = {"10.0.0.1", "10.0.0.2"};
  EXPECT_EQ(find({"dns:nodes:7"}),
            (std::vector{io::Endpoint::tcp("10.0.0.1", 7), io::Endpoint::tcp("10.0.0.2", 7)}));
  names_["nodes"] = {"10.0.0.9"};
  EXPECT_EQ(find({"dns:nodes:7"}), std::vector{io::Endpoint::tcp("10.0.0.9", 7)});
}

TEST_F(Discovered, AsksEverySourceAndNamesEachEndpointOnce) {
  names_["nodes"] = {"10.0.0.1", "10.0.0.2"};
  const auto found = find({"dns:gone", "10.0.0.2", "dns:nodes", "10.0.0.3:1"});
  EXPECT_EQ(found, (std::vector{io::Endpoint::tcp("10.0.0.2", kPeerPort),
                                io::Endpoint::tcp("10.0.0.1", kPeerPort),
                                io::Endpoint::tcp("10.0.0.3", 1)}));
}

io::Task<void> browse(std::shared_ptr<sim::Program> program) {
  program->print("+;eth0;IPv4;OllamaMax\\032n1;_ollamamax._tcp;local");
  program->print(
      "=;eth0;IPv6;OllamaMax\\032n1;_ollamamax._tcp;local;m1.local;fe80::1;11435;\"node=n1\"");
  program->print(
      "=;eth0;IPv4;OllamaMax\\032n1;_ollamamax._tcp;local;m1.local;10.0.0.1;11435;\"node=n1\"");
  program->print(
      "=;eth0;IPv4;OllamaMax\\032n2;_ollamamax._tcp;local;m2.local;10.0.0.2;12000;\"node=n2\"");
  co_return;
}

TEST_F(Discovered, AsksAvahiForTheNodesOfTheLocalNetwork) {
  EXPECT_TRUE(find({"mdns"}).empty());  // It is not installed.
  sim_.processes().install("/usr/bin/avahi-browse", browse);
  EXPECT_EQ(find({"mdns"}), (std::vector{io::Endpoint::tcp("10.0.0.1", 11435),
                                         io::Endpoint::tcp("10.0.0.2", 12000)}));
}

TEST_F(Discovered, AnAnnouncementIsMadeAgainWhenItsProgramEnds) {
  int started = 0;
  std::vector<std::string> said;
  sim_.processes().install("/usr/bin/avahi-publish", [&](std::shared_ptr<sim::Program> program) {
    started++;
    said = program->argv();
    return browse(std::move(program));
  });
  // With "OllamaMax " before it a label would be too long for DNS.
  const std::string name = "n1" + std::string(61, 'x');
  MdnsAnnouncement announcement(world_, name, 11435);
  announcement.start();
  const auto pass = [](io::Clock& clock) -> io::Task<void> {
    (void)co_await clock.sleep_for(std::chrono::seconds(35));
  };
  sim_.run(pass(world_.clock));
  EXPECT_EQ(started, 4);
  EXPECT_NE(std::ranges::find(said, "11435"), said.end());
  EXPECT_NE(std::ranges::find(said, "node=" + name), said.end());
  EXPECT_NE(std::ranges::find(said, ("OllamaMax " + name).substr(0, 63)), said.end());
  sim_.run(announcement.stop());
}

}  // namespace
}  // namespace om::cluster
