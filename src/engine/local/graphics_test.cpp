#include "engine/local/graphics.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace om::engine {
namespace {

constexpr double kMebibyte = 1 << 20;

TEST(Graphics, ReadsACard) {
  const auto card = parse_card(
      R"({"name":"CUDA0","description":"NVIDIA L4","type":"gpu","total":24000,"free":20000})");
  ASSERT_TRUE(card);
  EXPECT_EQ(card->name, "CUDA0");
  EXPECT_EQ(card->description, "NVIDIA L4");
  EXPECT_FALSE(card->integrated);
  EXPECT_EQ(card->total_bytes, 24000u);
  EXPECT_EQ(card->free_bytes, 20000u);
  EXPECT_TRUE(parse_card(R"({"name":"Vulkan0","type":"igpu"})")->integrated);
  for (const char* other : {"", "ggml_cuda_init: found 1 CUDA devices", "{", "{}", "[1]",
                            R"({"name":"CPU","type":"cpu","total":1,"free":1})"}) {
    EXPECT_FALSE(parse_card(other)) << other;
  }
}

TEST(Graphics, CountsBuffersOnCardsOnly) {
  const auto mebibytes = [](std::string_view line) { return card_buffer_bytes(line) / kMebibyte; };
  EXPECT_NEAR(mebibytes("load_tensors:        CUDA0 model buffer size =  4095.05 MiB"), 4095.05, 1);
  EXPECT_NEAR(mebibytes("I llama_kv_cache:    Vulkan1 KV buffer size =   224.00 MiB"), 224, 1);
  EXPECT_NEAR(mebibytes("sched_reserve:      ROCm0 compute buffer size =   70.50 MiB"), 70.5, 1);
  for (const char* line : {"load_tensors:   CPU_Mapped model buffer size =  94.72 MiB",
                           "load_tensors:   CPU_REPACK model buffer size =  94.72 MiB",
                           "llama_kv_cache:        CPU KV buffer size =    22.50 MiB",
                           "sched_reserve:  CUDA_Host compute buffer size =     9.01 MiB",
                           "load_tensors: RPC0[127.0.0.1:5000] model buffer size =  70.00 MiB",
                           "load_tensors: CUDA0 model buffer size = many MiB",
                           "load_tensors: CUDA0 model buffer size = 1e300 MiB",
                           "load_tensors: CUDA0 model buffer size = 12",
                           "buffer size = ", ": buffer size = 1 MiB", ""}) {
    EXPECT_EQ(card_buffer_bytes(line), 0u) << line;
  }
}

TEST(Graphics, KnowsWhetherAllLayersAreOnCards) {
  GraphicsUse use;
  use.read("I load_tensors: offloaded 31/31 layers to GPU");
  EXPECT_FALSE(use.whole()) << "there is no card";
  use.read("I load_tensors:      Vulkan0 model buffer size =    92.00 MiB");
  use.read("I llama_kv_cache:    Vulkan0 KV buffer size =    90.00 MiB");
  EXPECT_EQ(use.bytes, uint64_t{182} << 20);
  EXPECT_TRUE(use.whole());
  use.read("I load_tensors: offloaded 20/31 layers to GPU");
  EXPECT_FALSE(use.whole());
  for (const char* other : {"", ": offloaded  layers to GPU", ": offloaded layers to GPU",
                            "load_tensors: offloading 29 repeating layers to GPU"}) {
    EXPECT_EQ(all_layers_on_card(other), std::nullopt) << other;
  }
}

// The program that lists cards.
struct Lister {
  std::vector<std::string> lines;
  int code = 0;
  io::Task<void> operator()(std::shared_ptr<sim::Program> program) const {
    for (const std::string& line : lines) program->print(line);
    program->exit(code);
    co_return;
  }
};

// A machine on which the program that lists cards says this.
class Cards : public ::testing::Test {
 protected:
  void says(std::vector<std::string> lines, int code = 0) {
    ASSERT_TRUE(sim_.world().files.make_directories("/llama"));
    ASSERT_TRUE(sim_.world().files.write_file("/llama/ggml-devices", ""));
    sim_.processes().install("/llama/ggml-devices", Lister{std::move(lines), code});
  }
  Result<std::vector<GraphicsCard>> read() {
    Result<std::vector<GraphicsCard>> cards;
    sim_.run(read_into(cards));
    return cards;
  }
  io::Task<void> read_into(Result<std::vector<GraphicsCard>>& cards) {
    cards = co_await read_cards(sim_.world(), "/llama/ggml-devices");
  }

  sim::World sim_{1};
};

TEST_F(Cards, AreNoneWithoutTheProgram) {
  const auto cards = read();
  ASSERT_TRUE(cards);
  EXPECT_TRUE(cards->empty());
}

TEST_F(Cards, LeaveOutIntegratedOnesBesideOthers) {
  says({"noise", R"({"name":"CPU","type":"cpu","total":9,"free":9})",
        R"({"name":"CUDA0","type":"gpu","total":8,"free":7})",
        R"({"name":"Vulkan0","type":"igpu","total":6,"free":5})"});
  const auto cards = read();
  ASSERT_TRUE(cards);
  ASSERT_EQ(cards->size(), 1u);
  EXPECT_EQ(cards->front().name, "CUDA0");
}

TEST_F(Cards, SayWhyTheyCannotBeAsked) {
  says({"driver version is insufficient"}, 1);
  const auto cards = read();
  ASSERT_FALSE(cards);
  EXPECT_EQ(cards.error().code, Errc::unavailable);
  EXPECT_NE(cards.error().what.find("driver version is insufficient"), std::string::npos);
}

}  // namespace
}  // namespace om::engine
