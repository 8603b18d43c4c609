// Pushes that break: what the registry has is not sent again.
#include "transfer/upload.h"

#include "transfer/push.h"
#include "transfer/testing/registry.h"
#include "transfer/upload_session.h"

namespace om::transfer {
namespace {

using testing::Faults;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::random_bytes;
using testing::TransferWorld;

constexpr uint64_t kMega = 1 << 20;
constexpr size_t kConfigBytes = 2;

class Upload : public TransferWorld {
 protected:
  void put_model(const std::vector<std::string>& layers) {
    model::Manifest manifest;
    manifest.config = {std::string(model::kConfigMediaType), put("{}"), kConfigBytes, ""};
    for (const std::string& layer : layers) {
      manifest.layers.push_back(
          {std::string(model::kLayerMediaPrefix) + "license", put(layer), layer.size(), ""});
    }
    const auto done = wait(store_->put_manifest(name("m"), manifest.to_json()));
    ASSERT_TRUE(done) << done.error().what;
  }
  Digest put(std::string data) { return wait(store_->put_blob(std::move(data))).value(); }
  bool has(const std::string& layer) {
    const auto found = registry_.blobs.find(Digest::of(layer).str());
    return found != registry_.blobs.end() && found->second == layer;
  }
  void expect_pushed(const std::string& layer) {
    const auto done = push("m");
    ASSERT_TRUE(done) << done.error().what;
    EXPECT_TRUE(has(layer));
    EXPECT_TRUE(registry_.manifests.contains("test/m:latest"));
  }
  // The client leaves once so much of a layer has gone out, and then the machine crashes.
  void push_until(uint64_t completed) {
    limit_ = completed;
    registry_.faults.upload_bytes_per_second = 50 * kMega;
    const auto done = wait(
        transfer_->push({name("m"), true}, [this](Progress line) { return listen(line); }, {}));
    EXPECT_EQ(done.error().code, Errc::cancelled);
    restart();
  }
  io::Task<Result<void>> listen(Progress line) {
    if (line.completed.value_or(0) >= limit_) co_return fail(Errc::cancelled, "left");
    co_return Result<void>{};
  }
  uint64_t sent_twice(const std::string& layer) {
    return registry_.upload_bytes_received - layer.size() - kConfigBytes;
  }
  std::string remembered() {
    return world_.files.read_file(options_.uploads_file, kMega).value_or("none");
  }

  uint64_t limit_ = 0;
};

TEST_F(Upload, GoesOnAtTheByteWhereTheLinkBroke) {
  start();
  const std::string layer = random_bytes(40 * kMega, 1);
  put_model({layer});
  registry_.faults.cut_uploads_every = 9 * kMega;
  expect_pushed(layer);
  EXPECT_EQ(sent_twice(layer), 0U);
  EXPECT_EQ(registry_.count("GET /v2/test/m/blobs/uploads/"), 4U);
  EXPECT_EQ(registry_.count("POST"), 2U);  // Config and layer, once each.
}

TEST_F(Upload, SendsOnlyTheBrokenPartAgainWhereNothingElseIsLost) {
  start();
  const std::string layer = random_bytes(40 * kMega, 2);
  put_model({layer});
  registry_.faults.broken = Faults::Broken::keeps_parts;
  registry_.faults.cut_uploads_every = 35 * kMega;
  expect_pushed(layer);
  EXPECT_GT(sent_twice(layer), 2 * kMega);
  EXPECT_LT(sent_twice(layer), 4 * kMega);  // The third part had got three.
  EXPECT_EQ(registry_.count("POST"), 2U);
}

TEST_F(Upload, BeginsAnewWhereTheRegistryHasLostIt) {
  start();
  const std::string layer = random_bytes(40 * kMega, 3);
  put_model({layer});
  registry_.faults.broken = Faults::Broken::loses_all;
  registry_.faults.cut_uploads_every = 30 * kMega;
  registry_.faults.upload_cuts_left = 1;
  expect_pushed(layer);
  EXPECT_EQ(registry_.count("POST"), 3U);
}

TEST_F(Upload, BeginsAnewAFewTimesOnly) {
  start();
  put_model({random_bytes(40 * kMega, 4)});
  registry_.faults.broken = Faults::Broken::loses_all;
  registry_.faults.cut_uploads_every = 30 * kMega;
  const auto done = push("m");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::unavailable) << done.error().what;
  EXPECT_EQ(registry_.count("POST"), 2U + kUploadRestartsMax);
}

TEST_F(Upload, TriesAFewTimesOnlyWhenNothingGetsThrough) {
  start();
  put_model({random_bytes(kMega, 5)});
  registry_.faults.upload_refusals_left = 1000;
  const auto done = push("m");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("503"));
  EXPECT_EQ(registry_.count("PATCH"), static_cast<size_t>(kUploadTriesMax));
}

TEST_F(Upload, AsksBeforeItSendsAPartWhoseAnswerWasLost) {
  start();
  const std::string layer = random_bytes(20 * kMega, 6);
  put_model({layer});
  registry_.faults.lost_answers_left = 3;
  expect_pushed(layer);
  EXPECT_EQ(sent_twice(layer), 0U);
}

TEST_F(Upload, GivesUpOnASilentRegistryAndGoesOn) {
  start();
  const std::string layer = random_bytes(20 * kMega, 7);
  put_model({layer});
  registry_.faults.upload_stalls_left = 2;  // One part each of config and layer.
  const io::TimePoint before = world_.clock.now();
  expect_pushed(layer);
  EXPECT_GE(world_.clock.now() - before, 2 * kUploadSilenceMax);
  EXPECT_LT(world_.clock.now() - before, 3 * kUploadSilenceMax);
  EXPECT_EQ(sent_twice(layer), 0U);
}

TEST_F(Upload, GoesOnAfterACrash) {
  start();
  const std::string layer = random_bytes(60 * kMega, 8);
  put_model({layer});
  push_until(20 * kMega);
  EXPECT_FALSE(has(layer));
  push_until(40 * kMega);
  EXPECT_THAT(remembered(), HasSubstr(Digest::of(layer).str()));
  expect_pushed(layer);
  EXPECT_EQ(sent_twice(layer), 0U);
  EXPECT_EQ(remembered(), "[]");
}

TEST_F(Upload, SendsAPartAgainAfterACrashWhereOnlyWholePartsCount) {
  start();
  const std::string layer = random_bytes(60 * kMega, 9);
  put_model({layer});
  registry_.faults.broken = Faults::Broken::keeps_parts;
  push_until(40 * kMega);
  expect_pushed(layer);
  EXPECT_GT(sent_twice(layer), 0U);
  EXPECT_LT(sent_twice(layer), kOwnPartBytesMin);
}

TEST_F(Upload, BeginsAnewAfterACrashWhereTheRegistryHasForgotten) {
  start();
  const std::string layer = random_bytes(40 * kMega, 10);
  put_model({layer});
  push_until(20 * kMega);
  registry_.forget_uploads();
  const size_t parts = registry_.count("PATCH");
  expect_pushed(layer);
  EXPECT_EQ(registry_.count("PATCH") - parts, 3U);  // Still 16 MiB each.
  EXPECT_EQ(remembered(), "[]");
}

TEST_F(Upload, BeginsAnewWhereTheRegistryHasKeptOtherBytes) {
  start();
  const std::string layer = random_bytes(40 * kMega, 11);
  put_model({layer});
  registry_.faults.cut_uploads_every = 30 * kMega;
  registry_.faults.upload_cuts_left = 1;
  registry_.faults.spoilt_at = 5;
  expect_pushed(layer);
  EXPECT_EQ(registry_.count("POST"), 3U);
}

TEST_F(Upload, IsNotSentAgainWhenAnUnbrokenOneIsRefused) {
  start();
  put_model({random_bytes(kMega, 12)});
  registry_.faults.spoilt_at = 5;
  const auto done = push("m");
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("digest invalid"));
  EXPECT_EQ(registry_.count("POST"), 2U);
}

TEST_F(Upload, RemembersNothingOfWhatWentElsewhere) {
  start();
  put_model({random_bytes(40 * kMega, 13)});
  registry_.faults.redirect_uploads = true;
  registry_.faults.refused_upload = Digest::of(random_bytes(40 * kMega, 13)).str();
  EXPECT_FALSE(push("m"));
  EXPECT_THAT(remembered(), Not(HasSubstr("url")));
}

TEST_F(Upload, NeverAsksAnotherHostThanTheRegistry) {
  start();
  const std::string layer = random_bytes(20 * kMega, 14);
  put_model({layer});
  ASSERT_TRUE(world_.files.make_directories("/home"));
  const std::string blob =
      fmt::format("http://{}/v2/test/m/blobs/{}", registry_.host(), Digest::of(layer).str());
  ASSERT_TRUE(world_.files.write_file(
      options_.uploads_file,
      fmt::format(R"([{{"blob":"{}","url":"http://10.0.0.9/put","seen":0}}])", blob)));
  expect_pushed(layer);
}

TEST_F(Upload, SendsLayersSeveralAtATime) {
  start();
  std::vector<std::string> layers;
  for (uint64_t i = 0; i < 6; i++) layers.push_back(random_bytes(5 * kMega, 20 + i));
  put_model(layers);
  ASSERT_TRUE(push("m"));
  EXPECT_EQ(registry_.uploads_at_once, kPushStreamsMax);
  for (const std::string& layer : layers) {
    EXPECT_TRUE(has(layer));
    const Digest digest = Digest::of(layer);
    uint64_t last = 0;
    for (const Progress& line : progress) {
      if (line.digest != digest) continue;
      EXPECT_EQ(line.status, "pushing " + digest.hex().substr(0, 12));
      EXPECT_EQ(line.total, layer.size());
      EXPECT_GE(*line.completed, last);
      last = *line.completed;
    }
    EXPECT_EQ(last, layer.size());
  }
}

TEST_F(Upload, TellsTheFirstErrorAndEndsTheOthers) {
  start();
  std::vector<std::string> layers;
  for (uint64_t i = 0; i < 3; i++) layers.push_back(random_bytes((8 + 40 * i) * kMega, 30 + i));
  put_model(layers);
  registry_.faults.refused_upload = Digest::of(layers[0]).str();
  const auto done = push("m");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::forbidden) << done.error().what;
  EXPECT_THAT(done.error().what, HasSubstr("403: denied"));
  EXPECT_THAT(done.error().what, Not(HasSubstr("\n")));
  EXPECT_FALSE(has(layers[1]));
  EXPECT_FALSE(has(layers[2]));
  EXPECT_TRUE(registry_.manifests.empty());
}

class Uploads : public ::testing::Test {
 protected:
  template <class T>
  T wait(io::Task<T> task) {
    std::optional<T> result;
    sim_.run(keep(std::move(task), result));
    return std::move(*result);
  }
  template <class T>
  static io::Task<void> keep(io::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  void open() { table_ = std::make_unique<UploadTable>(world_, "/state/uploads.json"); }
  void remember(const std::string& blob, const std::string& url) {
    const auto claim = wait(table_->claim(blob));
    sim_.run(claim->remember(url));
  }
  std::string url_of(const std::string& blob) { return wait(table_->claim(blob))->url(); }

  sim::World sim_{3};
  io::World& world_ = sim_.world();
  std::unique_ptr<UploadTable> table_;
  std::optional<Result<void>> ignored_;
};

TEST_F(Uploads, AreKnownAfterACrashUntilForgotten) {
  open();
  remember("a", "http://r/1");
  remember("a", "http://r/2");
  remember("b", "http://r/3");
  sim_.files().crash();
  open();
  EXPECT_EQ(url_of("a"), "http://r/2");
  sim_.run(wait(table_->claim("a"))->forget());
  sim_.files().crash();
  open();
  EXPECT_EQ(url_of("a"), "");
  EXPECT_EQ(url_of("b"), "http://r/3");
}

TEST_F(Uploads, AreGoneOnWithByOneOnly) {
  open();
  remember("a", "http://r/1");
  auto first = wait(table_->claim("a"));
  const auto second = wait(table_->claim("a"));
  EXPECT_EQ(first->url(), "http://r/1");
  EXPECT_EQ(second->url(), "");
  sim_.run(second->remember("http://r/2"));
  sim_.run(second->forget());
  first.reset();
  EXPECT_EQ(url_of("a"), "http://r/1");
}

TEST_F(Uploads, AreBoundedAndGrowOld) {
  open();
  for (size_t i = 0; i <= kUploadsRememberedMax; i++) {
    remember(std::to_string(i), "http://r/");
    sim_.run(keep(world_.clock.sleep_for(std::chrono::seconds(1)), ignored_));
  }
  EXPECT_EQ(url_of("0"), "");
  EXPECT_EQ(url_of("1"), "http://r/");
  open();
  EXPECT_EQ(url_of("1"), "http://r/");
  sim_.run(keep(world_.clock.sleep_for(kUploadAgeMax), ignored_), kUploadAgeMax * 2);
  open();
  EXPECT_EQ(url_of("1"), "");
}

TEST_F(Uploads, DoNotTrustWhatTheyRead) {
  ASSERT_TRUE(world_.files.make_directories("/state"));
  for (const char* text : {"", "{", "{}", "[1,{}]", R"([{"blob":"a","url":"u","seen":-1}])",
                           R"([{"blob":"a","url":"u","seen":9223372036854775807}])",
                           R"([{"blob":"a","url":7,"seen":1}])"}) {
    ASSERT_TRUE(world_.files.write_file("/state/uploads.json", text));
    open();
    EXPECT_EQ(url_of("a"), "") << text;
    remember("b", "http://r/");
    open();
    EXPECT_EQ(url_of("b"), "http://r/") << text;
  }
}

}  // namespace
}  // namespace om::transfer
