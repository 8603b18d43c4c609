#include "app/own_files.h"

#include <gmock/gmock.h>

#include "io/co_assert_for_test.h"
#include "sim/world.h"

namespace om::app {
namespace {

// They do their jobs at once, and the next ones while `are_stuck` only when told.
class StuckWorkers final : public io::Workers {
 public:
  explicit StuckWorkers(io::Clock& clock) : go_on_(clock) {}
  bool are_stuck = false;
  void go_on() {
    are_stuck = false;
    go_on_.notify_all();
  }

 protected:
  io::Task<void> post(std::function<void()> job) override {
    while (are_stuck) CHECK((co_await go_on_.wait()).has_value());
    job();
  }

 private:
  io::Event go_on_;
};

class OwnFilesTest : public ::testing::Test {
 protected:
  void run(io::Task<void> test) { world_.run(around(std::move(test))); }

  io::Task<Digest> put(std::string data) {
    const auto digest = co_await disk_->put_blob(std::move(data));
    EXPECT_TRUE(digest.has_value());
    co_return *digest;
  }
  io::Task<void> pass(io::Duration time) {
    EXPECT_TRUE((co_await world_.clock().sleep_for(time)).has_value());
  }

  io::Task<void> wait_for_no_disk() {
    const Digest first = co_await put("first");
    co_await files_->look();
    const auto told = files_->blobs();
    CO_ASSERT(told != nullptr);
    EXPECT_THAT(*told, ::testing::ElementsAre(first));
    const Digest second = co_await put("second");
    workers_.are_stuck = true;  // As a file server that pauses.
    co_await pass(std::chrono::seconds(2));
    EXPECT_EQ(files_->blobs(), told);
    co_await pass(std::chrono::seconds(2));
    EXPECT_EQ(files_->blobs(), told);
    workers_.go_on();
    co_await pass(std::chrono::milliseconds(1));
    EXPECT_TRUE(files_->has(second));
  }

  io::Task<void> tell_at_once_what_is_made() {
    co_await files_->look();
    workers_.are_stuck = true;
    co_await pass(std::chrono::seconds(2));
    (void)files_->blobs();  // A look begins that may see nothing of what follows.
    co_await pass(std::chrono::milliseconds(1));
    workers_.are_stuck = false;
    store::Model model;
    model.weights = co_await put("weights");
    model.manifest.config.digest = co_await put("config");
    model.manifest.layers = {{"", model.weights, 7, ""}, {"", Digest::of("elsewhere"), 1, ""}};
    files_->add(model);
    co_await pass(std::chrono::milliseconds(1));
    EXPECT_THAT(*files_->blobs(), ::testing::SizeIs(2));
    EXPECT_TRUE(files_->has(model.weights));
    workers_.go_on();
    co_await pass(std::chrono::milliseconds(1));
    EXPECT_THAT(*files_->blobs(), ::testing::SizeIs(2));
  }

  io::Task<void> look_for_new_models_in_a_worker() {
    co_await files_->look();
    store::Model model;
    model.weights = model.manifest.config.digest = co_await put("weights");
    workers_.are_stuck = true;
    files_->add(model);
    co_await pass(std::chrono::seconds(2));
    EXPECT_FALSE(files_->has(model.weights));
    workers_.go_on();
    co_await pass(std::chrono::milliseconds(1));
    EXPECT_TRUE(files_->has(model.weights));
  }

  io::Task<void> tell_of_room_that_models_get() {
    constexpr uint64_t kGiga = uint64_t{1} << 30;
    world_.files().set_space(200 * kGiga);
    co_await put("a blob, so that a little less than that is free");
    co_await files_->look();
    EXPECT_EQ(files_->bytes_free(), 198 * kGiga);  // One more is kept free.
  }

  sim::World world_{1};
  StuckWorkers workers_{world_.clock()};
  std::unique_ptr<io::World> io_;
  std::unique_ptr<store::Store> disk_;
  std::unique_ptr<OwnFiles> files_;

 private:
  io::Task<void> around(io::Task<void> test) {
    const io::World& world = world_.world();
    io_ = std::make_unique<io::World>(io::World{world.executor, world.clock, world.random,
                                                world.network, world.files, world.processes,
                                                workers_});
    auto opened = co_await store::Store::open(*io_, "/models", false);
    CO_ASSERT(opened.has_value());
    disk_ = std::move(*opened);
    files_ = std::make_unique<OwnFiles>(*io_, *disk_);
    co_await std::move(test);
    co_await files_->stop();
  }
};

TEST_F(OwnFilesTest, AreToldAsOfTheLastLookWhileTheDiskDoesNotAnswer) { run(wait_for_no_disk()); }

TEST_F(OwnFilesTest, AreToldAtOnceWhereAModelIsMadeHere) { run(tell_at_once_what_is_made()); }

TEST_F(OwnFilesTest, CountNoRoomThatTheStoreKeepsFree) { run(tell_of_room_that_models_get()); }

TEST_F(OwnFilesTest, HoldNobodyUpWhereAModelIsMadeElsewhere) {
  run(look_for_new_models_in_a_worker());
}

}  // namespace
}  // namespace om::app
