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

}  // namespace
}  // namespace om::app
