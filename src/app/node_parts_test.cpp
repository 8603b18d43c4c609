#include "app/node_parts.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "io/real.h"

namespace om::app {
namespace {

using ::testing::StartsWith;

// A folder that looks like an installation, and XDG_RUNTIME_DIR as it was at the end.
class Paths : public ::testing::Test {
 protected:
  Paths() {
    std::filesystem::create_directories(root_ + "/session");
    EXPECT_TRUE(files_.write_file(root_ + "/llama-server", ""));
    settings_.llama_directory = root_;
    if (const char* set = std::getenv(kVariable)) before_ = set;
  }
  ~Paths() override {
    std::filesystem::remove_all(root_);
    if (before_) {
      ::setenv(kVariable, before_->c_str(), 1);
    } else {
      ::unsetenv(kVariable);
    }
  }
  std::string runtime_directory(const std::string& session) {
    ::setenv(kVariable, session.c_str(), 1);
    const auto paths = find_paths(files_, settings_);
    EXPECT_TRUE(paths) << paths.error().what;
    if (!paths) return {};
    std::filesystem::remove_all(paths->runtime_directory);
    return paths->runtime_directory;
  }

  static constexpr const char* kVariable = "XDG_RUNTIME_DIR";
  io::RealWorld world_;
  io::Filesystem& files_ = world_.world().files;
  std::string root_ = fmt::format("/tmp/paths-{}", world_.world().random.letters(8));
  std::optional<std::string> before_;
  Settings settings_;
};

TEST_F(Paths, OfSocketsAreInTheSessionsFolderIfItIsOurs) {
  const std::string own = root_ + "/session";
  EXPECT_THAT(runtime_directory(own), StartsWith(own + "/"));
  // What `su` leaves behind. Root may write there, and still it goes with its owner.
  std::string foreign = "/";
  if (::geteuid() == 0) {
    foreign = own;
    ASSERT_EQ(::chown(own.c_str(), 12345, 12345), 0);
  }
  EXPECT_THAT(runtime_directory(foreign), StartsWith("/tmp/ollamamax-"));
  EXPECT_THAT(runtime_directory("/nowhere"), StartsWith("/tmp/ollamamax-"));
}

class Names final : public io::NameService {
 public:
  io::Task<Result<std::vector<io::Endpoint>>> lookup(io::Endpoint name, io::Call) override {
    std::vector<io::Endpoint> found;
    if (name.host == "gpu1.lan") {
      found = {io::Endpoint::tcp("fd00::7", name.port), io::Endpoint::tcp("10.0.0.7", name.port)};
    } else if (name.host == "own") {
      found = {io::Endpoint::tcp("127.0.1.1", name.port)};
    } else {
      co_return fail(Errc::not_found, "lookup {}: no such host", name.host);
    }
    co_return found;
  }
};

io::Task<void> find_listen(std::vector<std::string> addresses,
                           Result<std::vector<ListenAddress>>& found) {
  Names names;
  Settings settings;
  settings.listen = std::move(addresses);
  found = co_await find_listen_addresses(names, settings, {});
}

Result<std::vector<ListenAddress>> listen_addresses(std::vector<std::string> addresses) {
  io::RealWorld world;
  Result<std::vector<ListenAddress>> found;
  world.run_until_done(find_listen(std::move(addresses), found));
  return found;
}

TEST(ListenAddresses, AreWhatTheirNamesLeadTo) {
  const auto found = listen_addresses({"gpu1.lan:1234", "https://[::1]:5", "localhost", ":7"});
  ASSERT_TRUE(found) << found.error().what;
  ASSERT_EQ(found->size(), 4);
  EXPECT_EQ((*found)[0].at, io::Endpoint::tcp("10.0.0.7", 1234));
  EXPECT_EQ((*found)[1].at, io::Endpoint::tcp("::1", 5));
  EXPECT_EQ((*found)[2].at, io::Endpoint::tcp("localhost", 11434));
  EXPECT_EQ((*found)[3].at, io::Endpoint::tcp("127.0.0.1", 7));
  const auto unknown = listen_addresses({"nowhere.lan"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().what, "server.listen (OLLAMA_HOST): lookup nowhere.lan: no such host");
}

// Debian gives a machine's own name 127.0.1.1: only pages of this machine's names may ask there.
TEST(ListenAddresses, OfANameThatLeadsToThisMachineAloneAreCheckedAsLoopback) {
  const api::Settings own = make_api_settings({}, "n", *listen_addresses({"own:1"}));
  EXPECT_TRUE(own.check_host);
  EXPECT_THAT(own.host_names, ::testing::Contains("own"));
  EXPECT_FALSE(make_api_settings({}, "n", *listen_addresses({"gpu1.lan"})).check_host);
}

TEST(ApiSettings, HaveTheWeightsOfKeys) {
  Settings settings;
  settings.key_weights = {"0123456789abcdef=5", "fedcba9876543210=0.5"};
  const std::map<std::string, double> weights = {{"0123456789abcdef", 5},
                                                 {"fedcba9876543210", 0.5}};
  EXPECT_EQ(make_api_settings(settings, "n", {}).key_weights, weights);
}

}  // namespace
}  // namespace om::app
