// A real etcd, written in Go, with our certificates on its client and its peer side.
#include <gtest/gtest.h>

#include <filesystem>

#include "io/real.h"
#include "io/task_group.h"
#include "security/identity.h"

namespace om::security {
namespace {

// Two members, so that there is a leader only if they can talk to each other.
class Etcd : public testing::Test {
 protected:
  struct Member {
    std::string name, host;
    io::Endpoint client, peer;
    std::unique_ptr<io::Child> child;
    std::string output;
  };

  Etcd() {
    for (Member& member : members) {
      member.client = free_port(member.host);
      member.peer = free_port(member.host);
      renew(member);
    }
  }
  ~Etcd() override { std::filesystem::remove_all(directory); }

  IdentityStore store(const std::string& name) {
    return {world.files, fmt::format("{}/{}", directory, name)};
  }
  void renew(const Member& member) {
    const auto request = make_certificate_request(member.name);
    const auto certificate = issue_certificate(
        authority, request->request, {.name = member.name, .addresses = {member.host}, .now = now},
        world.random);
    ASSERT_TRUE(certificate.has_value()) << certificate.error().what;
    const auto saved =
        store(member.name).save(authority.certificate, *certificate, request->key, now);
    ASSERT_TRUE(saved.has_value()) << saved.error().what;
  }
  io::Endpoint free_port(const std::string& host) {
    auto listener = world.network.listen(io::Endpoint::tcp(host, 0), nullptr);
    EXPECT_TRUE(listener.has_value()) << listener.error().what;
    return (*listener)->local();
  }
  static std::string url(const io::Endpoint& at) { return "https://" + at.str(); }

  void start(Member& member) {
    const IdentityStore files = store(member.name);
    io::SpawnOptions options;
    options.argv = {"/usr/bin/etcd", "--name",      member.name, "--logger",
                    "zap",           "--log-level", "error"};
    const auto add = [&](std::string name, std::string value) {
      options.argv.push_back("--" + name);
      options.argv.push_back(std::move(value));
    };
    add("data-dir", fmt::format("{}/{}.data", directory, member.name));
    add("listen-client-urls", url(member.client));
    add("advertise-client-urls", url(member.client));
    add("listen-peer-urls", url(member.peer));
    add("initial-advertise-peer-urls", url(member.peer));
    add("initial-cluster", fmt::format("n1={},n2={}", url(members[0].peer), url(members[1].peer)));
    for (const std::string side : {"", "peer-"}) {
      add(side + "cert-file", files.node_file());
      add(side + "key-file", files.node_file());
      add(side + "trusted-ca-file", files.authorities_file());
      options.argv.push_back("--" + side + "client-cert-auth");
    }
    auto child = world.processes.spawn(std::move(options));
    ASSERT_TRUE(child.has_value()) << child.error().what;
    member.child = std::move(*child);
  }

  io::Task<void> read_output(Member& member) {
    while (true) {
      const auto line = co_await member.child->read_line({});
      if (!line || !*line) co_return;
      member.output += **line + "\n";
    }
  }
  // The answer to `GET /health`; `serial` is that of etcd's certificate.
  io::Task<Result<std::string>> health(io::Endpoint at, std::shared_ptr<const io::Tls> tls) {
    const io::Call call = world.clock.call_within(std::chrono::seconds(5));
    CO_TRY(const auto stream, co_await world.network.connect(at, std::move(tls), call));
    stream->set_deadline(call.deadline);
    serial = stream->peer_certificate_serial();
    CO_TRY_VOID(co_await stream->write(
        std::string_view("GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")));
    std::string answer, piece(4096, '\0');
    while (true) {
      CO_TRY(const size_t count, co_await stream->read_some(std::span(piece)));
      if (count == 0) co_return answer;
      answer.append(piece, 0, count);
    }
  }
  io::Task<bool> becomes_healthy(const Member& member, std::shared_ptr<const io::Tls> tls) {
    const io::TimePoint latest = world.clock.now() + std::chrono::seconds(60);
    while (world.clock.now() < latest) {
      const auto answer = co_await health(member.client, tls);
      if (answer && answer->contains(R"({"health":"true"})")) co_return true;
      const auto slept = co_await world.clock.sleep_for(std::chrono::milliseconds(100));
      if (!slept) break;
    }
    co_return false;
  }

  std::string directory = [] {
    std::string name = "/tmp/ollamamax_etcd_XXXXXX";
    return std::string(mkdtemp(name.data()));
  }();
  io::RealWorld real;
  io::World& world = real.world();
  io::WallTime now = world.clock.wall_now();
  Authority authority = make_authority("home", world.random, now).value();
  std::array<Member, 2> members{Member{"n1", "127.0.0.1", {}, {}, nullptr, {}},
                                Member{"n2", "127.0.0.2", {}, {}, nullptr, {}}};
  std::string serial;
  io::TaskGroup tasks{world.executor, world.clock};
};

class EtcdWithOurCertificates : public Etcd {
 protected:
  io::Task<void> run() {
    for (Member& member : members) start(member);
    for (Member& member : members) tasks.spawn(read_output(member));
    const auto to_first = store("n2").client_of("n1"), to_second = store("n1").client_of("n2");
    EXPECT_TRUE(co_await becomes_healthy(members[0], to_first)) << members[0].output;
    EXPECT_TRUE(co_await becomes_healthy(members[1], to_second)) << members[1].output;
    co_await refuse_strangers();
    co_await follow_renewal();
    for (Member& member : members) member.child->signal(SIGKILL);
    for (Member& member : members) EXPECT_TRUE((co_await member.child->wait({})).has_value());
    co_await tasks.stop();
  }
  io::Task<void> refuse_strangers() {
    io::Tls nobody = *store("n1").client_of("n2");
    nobody.certificate_file.clear();
    nobody.key_file.clear();
    const auto unnamed = std::make_shared<const io::Tls>(nobody);
    const auto refused = co_await health(members[1].client, unnamed);
    EXPECT_EQ(refused.error().code, Errc::unauthenticated) << refused.error().what;
    const auto other_name = co_await health(members[1].client, store("n1").client_of("n1"));
    EXPECT_EQ(other_name.error().code, Errc::unauthenticated);
  }
  io::Task<void> follow_renewal() {
    const auto to_first = store("n2").client_of("n1");
    const std::string old = store("n1").load()->facts.serial;
    auto answer = co_await health(members[0].client, to_first);
    EXPECT_EQ(serial, old);
    now = world.clock.wall_now();
    renew(members[0]);
    answer = co_await health(members[0].client, to_first);
    EXPECT_TRUE(answer.has_value() && answer->contains(R"({"health":"true"})"));
    EXPECT_EQ(serial, store("n1").load()->facts.serial);
    EXPECT_NE(serial, old);
  }
};

TEST_F(EtcdWithOurCertificates, FormsAClusterAnswersMembersRefusesStrangersAndFollowsRenewals) {
  real.run_until_done(run());
}

}  // namespace
}  // namespace om::security
