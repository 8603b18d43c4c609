#include "model/options.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::model {
namespace {

boost::json::object object(std::string_view text) { return boost::json::parse(text).as_object(); }

std::string error_of(std::string_view text) {
  Options options;
  auto result = options.apply(object(text));
  return result ? "" : result.error().what;
}

TEST(Options, LaterValuesLieOverEarlierOnes) {
  Options options;
  ASSERT_TRUE(options.apply(object(R"({"temperature":0.5,"stop":["a"],"num_ctx":8192})")));
  ASSERT_TRUE(options.apply(object(R"({"temperature":1,"num_predict":12.9,"stop":["b","c"]})")));
  EXPECT_EQ(options.sampling.temperature, 1.0);
  EXPECT_EQ(options.sampling.num_predict, 12) << "fractions are cut off";
  EXPECT_EQ(options.sampling.stop, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(options.runner.num_ctx, 8192);
  EXPECT_EQ(options.sampling.top_k, 40) << "a default nobody touched";
}

TEST(Options, NullLeavesWhatWasSet) {
  Options options;
  ASSERT_TRUE(options.apply(object(R"({"seed":7,"num_gpu":3,"stop":["x"]})")));
  ASSERT_TRUE(options.apply(object(R"({"seed":null,"num_gpu":null,"stop":null})")));
  EXPECT_EQ(options.sampling.seed, 7);
  EXPECT_EQ(options.runner.num_gpu, 3);
  EXPECT_EQ(options.sampling.stop.size(), 1u);
}

TEST(Options, WrongTypesAreNamedAsOllamaNamesThem) {
  EXPECT_EQ(error_of(R"({"num_predict":"x"})"), R"(option "num_predict" must be of type integer)");
  EXPECT_EQ(error_of(R"({"num_ctx":true})"), R"(option "num_ctx" must be of type integer)");
  EXPECT_EQ(error_of(R"({"temperature":"hot"})"),
            R"(option "temperature" must be of type float32)");
  EXPECT_EQ(error_of(R"({"use_mmap":1})"), R"(option "use_mmap" must be of type boolean)");
  EXPECT_EQ(error_of(R"({"stop":"x"})"), R"(option "stop" must be of type array)");
  EXPECT_EQ(error_of(R"({"stop":[1]})"), R"(option "stop" must be of an array of strings)");
  EXPECT_EQ(error_of(R"({"top_k":1e30})"), R"(option "top_k" is out of range)");
  EXPECT_EQ(error_of(R"({"top_k":4294967296})"), R"(option "top_k" is out of range)");
}

TEST(Options, AnErrorChangesNothing) {
  Options options;
  EXPECT_FALSE(options.apply(object(R"({"seed":5,"top_k":[]})")));
  EXPECT_EQ(options.sampling.seed, -1);
}

TEST(Options, UnknownNamesAreCollectedAndDeprecatedOnesForgotten) {
  Options options;
  ASSERT_TRUE(options.apply(object(R"({"tempature":1,"mirostat":2,"low_vram":true,"Seed":3})")));
  ASSERT_TRUE(options.apply(object(R"({"tempature":null})")));
  EXPECT_EQ(options.unknown, (std::vector<std::string>{"tempature", "Seed"}));
}

TEST(Options, AutomaticValuesMeanAbsent) {
  Options options;
  ASSERT_TRUE(options.apply(object(R"({"num_gpu":1,"num_thread":8,"main_gpu":0})")));
  ASSERT_TRUE(options.apply(object(R"({"num_gpu":-1,"num_thread":0})")));
  EXPECT_FALSE(options.runner.num_gpu);
  EXPECT_FALSE(options.runner.num_thread);
  EXPECT_EQ(options.runner.main_gpu, 0);
  ASSERT_TRUE(options.apply(object(R"({"num_gpu":0})")));
  EXPECT_EQ(options.runner.num_gpu, 0) << "zero layers on the GPU is a wish, not a default";
}

TEST(Parameter, ParsesTextByTheTypeOfTheOption) {
  EXPECT_EQ(parse_parameter("num_ctx", "4096")->as_int64(), 4096);
  EXPECT_EQ(parse_parameter("temperature", "0.5")->as_double(), 0.5);
  EXPECT_EQ(parse_parameter("seed", "+7")->as_int64(), 7);
  EXPECT_FALSE(parse_parameter("seed", "+-7"));
  EXPECT_EQ(parse_parameter("use_mmap", "True")->as_bool(), true);
  EXPECT_EQ(parse_parameter("stop", "<|im_end|>")->as_array().size(), 1u);
  EXPECT_TRUE(parse_parameter("mirostat", "1")->is_null());
  EXPECT_EQ(parse_parameter("num_ctx", "4k").error().what, "invalid int value [4k]");
  EXPECT_EQ(parse_parameter("top_p", "nan").error().what, "invalid float value [nan]");
  EXPECT_EQ(parse_parameter("use_mmap", "ja").error().what, "invalid bool value [ja]");
  EXPECT_EQ(parse_parameter("tempature", "1").error().what, "unknown parameter 'tempature'");
}

TEST(Parameter, RepeatedStopsAddUp) {
  boost::json::object params;
  add_parameter(params, "stop", *parse_parameter("stop", "a"));
  add_parameter(params, "stop", *parse_parameter("stop", "b"));
  add_parameter(params, "seed", *parse_parameter("seed", "1"));
  add_parameter(params, "seed", *parse_parameter("seed", "2"));
  add_parameter(params, "numa", *parse_parameter("numa", "1"));
  EXPECT_EQ(params_to_json(params), "{\"seed\":2,\"stop\":[\"a\",\"b\"]}\n");
  EXPECT_EQ(params_to_json({}), "{}\n");
}

TEST(Parameter, TextOfShowIsInColumns) {
  auto params = object(R"({"stop":["<|im_start|>","\n"],"temperature":0.2,"num_ctx":1048576})");
  EXPECT_EQ(parameters_text(params),
            "num_ctx                        1048576\n"
            "stop                           \"<|im_start|>\"\n"
            "stop                           \"\\n\"\n"
            "temperature                    0.2");
}

RC_GTEST_PROP(OptionsProperty, WhatAParameterTextSetsIsWhatApplySees, (int number)) {
  boost::json::object params;
  add_parameter(params, "num_keep", *parse_parameter("num_keep", fmt::format("{}", number)));
  Options options;
  RC_ASSERT(options.apply(params).has_value());
  RC_ASSERT(options.sampling.num_keep == number);
}

}  // namespace
}  // namespace om::model
