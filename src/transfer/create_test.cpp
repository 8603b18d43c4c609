#include "transfer/create.h"

#include "model/gguf_builder.h"
#include "model/json_text.h"
#include "transfer/model_files.h"
#include "transfer/quantize.h"
#include "transfer/testing/registry.h"

namespace om::transfer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TransferWorld;

constexpr uint32_t kF16 = 1, kQ8 = 7;  // general.file_type

std::string gguf(uint32_t file_type, std::string_view architecture = "llama",
                 std::string_view type = "model") {
  return model::GgufBuilder()
      .text("general.architecture", architecture)
      .text("general.type", type)
      .u32("general.file_type", file_type)
      .u32(std::string(architecture) + ".context_length", 2048)
      .tensor("token_embd.weight", {32, 4}, 0)
      .bytes();
}

// llama-quantize as far as we use it: reads its input, prints steps, writes its output.
io::Task<void> fake_quantize(sim::World& world, std::shared_ptr<sim::Program> program) {
  const auto& argv = program->argv();
  program->print("llama_model_loader: loaded meta data");
  program->print("[   1/   2] token_embd.weight - [32, 4], type = f16");
  (void)co_await world.clock().sleep_for(std::chrono::seconds(1));
  program->print("[   2/   2] output.weight - [32, 4], type = f16");
  const std::string text = argv[4] == "Q8_0" ? gguf(kQ8) : gguf(kF16);
  program->exit(world.files().write_file(argv[3], text) ? 0 : 1);
}

io::Task<void> failing_program(sim::World&, std::shared_ptr<sim::Program> program) {
  program->print("error: no such architecture");
  program->exit(1);
  co_return;
}

// Python without packages: answers the question what is missing.
io::Task<void> bare_python(sim::World&, std::shared_ptr<sim::Program> program) {
  program->print("missing:torch transformers");
  program->exit(0);
  co_return;
}

// Python with all packages. The converter tells what it is given, and fails; `working_python`'s
// makes a model.
io::Task<void> full_python(sim::World& world, std::shared_ptr<sim::Program> program) {
  const auto& argv = program->argv();
  if (argv[1] == "-c") {
    program->print(argv[2].contains("missing:") ? "missing:" : "code:QWenLMHeadModel");
    program->exit(0);
    co_return;
  }
  for (const std::string& name : world.files().list(argv[2]).value()) program->print(name);
  for (const auto& [name, value] : program->options().environment) {
    if (name.ends_with("OFFLINE")) program->print(name + "=" + value);
  }
  program->exit(1);
}

io::Task<void> working_python(sim::World& world, std::shared_ptr<sim::Program> program) {
  const auto& argv = program->argv();
  if (argv[1] == "-c") co_return co_await full_python(world, program);
  program->exit(world.files().write_file(argv[4], gguf(kF16)) ? 0 : 1);
}

class Create : public TransferWorld {
 protected:
  void SetUp() override {
    install("/bin/llama-quantize", &fake_quantize);
    options_.quantize_program = "/bin/llama-quantize";
    options_.python = "/bin/python3";
    start();
  }
  void install(const std::string& path,
               io::Task<void> (*main)(sim::World&, std::shared_ptr<sim::Program>)) {
    ASSERT_TRUE(world_.files.make_directories(io::parent(path)));
    ASSERT_TRUE(world_.files.write_file(path, "program"));
    sim_.processes().install(path, [this, main](std::shared_ptr<sim::Program> program) {
      return main(sim_, std::move(program));
    });
  }
  void start_with_converter(io::Task<void> (*python)(sim::World&, std::shared_ptr<sim::Program>)) {
    ASSERT_TRUE(world_.files.write_file("/bin/convert.py", "script"));
    install("/bin/python3", python);
    options_.convert_script = "/bin/convert.py";
    restart();
  }
  Digest put(std::string data) { return wait(store_->put_blob(std::move(data))).value(); }
  CreateRequest request(std::string_view model) {
    CreateRequest wanted;
    wanted.name = model::Name::parse(model).value();
    return wanted;
  }
  Result<void> create(CreateRequest wanted) {
    statuses.clear();
    progress.clear();
    return wait(transfer_->create(std::move(wanted), sink(), {}));
  }
  void must_create(CreateRequest wanted) {
    const auto done = create(std::move(wanted));
    ASSERT_TRUE(done) << done.error().what;
  }
  std::shared_ptr<const store::Model> load(std::string_view model) {
    const auto loaded = store_->load(model::Name::parse(model).value());
    EXPECT_TRUE(loaded) << loaded.error().what;
    return loaded.value_or(nullptr);
  }
  void create_base() {
    auto base = request("base");
    base.files = {{"model.gguf", put(gguf(kF16))}};
    base.system = "Be kind.";
    base.licenses = {"first"};
    base.parameters = {{"temperature", 0.5}, {"top_k", 3}};
    base.renderer = "plain";
    must_create(base);
  }
};

TEST_F(Create, MakesAModelOfAnUploadedGguf) {
  const std::string weights = gguf(kF16);
  auto wanted = request("m");
  wanted.files = {{"folder/model.gguf", put(weights)}};
  wanted.parameters = {{"stop", boost::json::array{"a", "b"}}, {"num_ctx", 64}};
  wanted.template_text = "{{ .Prompt }}";
  model::Message message;
  message.role = "user";
  message.content = "hi";
  wanted.messages = {message};
  must_create(wanted);
  EXPECT_EQ(statuses.front(), "parsing GGUF");
  EXPECT_EQ(statuses[1], "using existing layer " + Digest::of(weights).str());
  EXPECT_EQ(statuses[2], "creating new layer " + Digest::of("{{ .Prompt }}").str());
  EXPECT_EQ(statuses[statuses.size() - 2], "writing manifest");
  EXPECT_EQ(statuses.back(), "success");
  const auto model = load("m");
  EXPECT_EQ(model->weights, Digest::of(weights));
  EXPECT_EQ(model->config.model_format, "gguf");
  EXPECT_EQ(model->config.model_family, "llama");
  EXPECT_EQ(model->config.file_type, "F16");
  EXPECT_THAT(model->config.model_families, ElementsAre("llama"));
  EXPECT_EQ(model->template_text, "{{ .Prompt }}");
  EXPECT_EQ(model->messages[0].content, "hi");
  const auto* params = model->manifest.find("params");
  EXPECT_EQ(store_->read_blob(params->digest, 999).value(),
            "{\"num_ctx\":64,\"stop\":[\"a\",\"b\"]}\n");
}

TEST_F(Create, WritesATextAgainThatHasRotten) {
  create_base();
  sim_.files().rot(store_->blob_path(Digest::of("Be kind.")), 3);
  create_base();
  EXPECT_EQ(load("base")->system, "Be kind.");
}

TEST_F(Create, InheritsReplacesMergesAndAppends) {
  create_base();
  auto wanted = request("child");
  wanted.from = "BASE";
  wanted.system = "Be brief.";
  wanted.licenses = {"second"};
  wanted.parameters = {{"temperature", 0.9}};
  must_create(wanted);
  const auto model = load("child");
  EXPECT_EQ(model->system, "Be brief.");
  EXPECT_THAT(model->licenses, ElementsAre("first", "second"));
  EXPECT_EQ(model::write_json(model->params), "{\"temperature\":0.9,\"top_k\":3}");
  EXPECT_EQ(model->config.renderer, "plain");
  EXPECT_EQ(model->manifest.find("model")->from, "base:latest");
  EXPECT_EQ(load("base")->system, "Be kind.");
}

TEST_F(Create, RemovesWhatItReplacesUnlessThatIsSwitchedOff) {
  const auto leaves_old_text = [this] {
    create_base();
    auto wanted = request("base");
    wanted.from = "base";
    wanted.system = "Be brief.";
    must_create(wanted);
    return store_->blob_size(Digest::of("Be kind.")).has_value();
  };
  EXPECT_FALSE(leaves_old_text());
  options_.prune = false;
  restart();
  EXPECT_TRUE(leaves_old_text());
}

TEST_F(Create, PullsTheBaseOnlyIfItIsMissing) {
  const std::string weights = gguf(kF16);
  model::Manifest manifest;
  const std::string config = "{\"model_format\":\"gguf\"}";
  manifest.config = {std::string(model::kConfigMediaType), Digest::of(config), config.size(), ""};
  manifest.layers = {
      {std::string(model::kLayerMediaPrefix) + "model", Digest::of(weights), weights.size(), ""}};
  registry_.blobs = {{Digest::of(config).str(), config}, {Digest::of(weights).str(), weights}};
  registry_.manifests["test/b:latest"] = manifest.to_json();
  auto wanted = request("m");
  wanted.from = "http://" + registry_.host() + "/test/b";
  const auto done = create(wanted);
  // What goes wrong in the pull is told: here that http is only for who asks for it.
  EXPECT_THAT(done.error().what, HasSubstr("insecure protocol http"));
  EXPECT_EQ(statuses.front(), "pulling manifest");
  ASSERT_TRUE(pull("b"));
  must_create(wanted);
  EXPECT_EQ(load("m")->weights, Digest::of(weights));
}

TEST_F(Create, QuantizesWithProgress) {
  const Digest weights = put(gguf(kF16));
  auto wanted = request("q");
  wanted.files = {{"model.gguf", weights}};
  wanted.quantize = "q8_0";
  must_create(wanted);
  EXPECT_THAT(statuses,
              ElementsAre("parsing GGUF", "using existing layer " + weights.str(),
                          "quantizing F16 model to Q8_0", "verifying conversion",
                          "creating new layer " + Digest::of(gguf(kQ8)).str(),
                          HasSubstr("creating new layer"), "writing manifest", "success"));
  EXPECT_EQ(load("q")->config.file_type, "Q8_0");
  const auto step = std::find_if(progress.begin(), progress.end(),
                                 [](const auto& line) { return line.completed.has_value(); });
  ASSERT_NE(step, progress.end());
  EXPECT_EQ(*step->completed, *step->total / 2);
  EXPECT_THAT(world_.files.list("/models/partial").value(), ElementsAre("lock"));
}

TEST_F(Create, RefusesQuantizationsThatMakeNoSense) {
  auto wanted = request("q");
  wanted.files = {{"model.gguf", put(gguf(kQ8))}};
  wanted.quantize = "Q4_0";
  EXPECT_EQ(create(wanted).error().what,
            "unsupported quantization type Q4_0 - supported types are F32, F16, Q4_K_S, Q4_K_M, "
            "Q8_0");
  wanted.quantize = "Q4_K_M";
  EXPECT_EQ(create(wanted).error().what,
            "quantization is only supported for F16, BF16 and F32 models");
}

TEST_F(Create, TellsWhatTheQuantizerSaidWhenItFails) {
  install("/bin/llama-quantize", &failing_program);
  auto wanted = request("q");
  wanted.files = {{"model.gguf", put(gguf(kF16))}};
  wanted.quantize = "Q8_0";
  EXPECT_THAT(create(wanted).error().what, HasSubstr("error: no such architecture"));
  EXPECT_TRUE(wait(store_->list()).value().empty());
}

TEST_F(Create, RecognisesProjectorsAndAdapters) {
  auto wanted = request("v");
  wanted.files = {{"model.gguf", put(gguf(kF16))},
                  {"mmproj.gguf", put(gguf(kF16, "clip", "mmproj"))}};
  wanted.adapters = {{"lora.gguf", put(gguf(kF16, "llama", "adapter"))}};
  must_create(wanted);
  const auto model = load("v");
  EXPECT_EQ(model->projector_paths.size(), 1U);
  EXPECT_EQ(model->adapter_paths.size(), 1U);
  EXPECT_THAT(model->config.model_families, ElementsAre("llama", "clip"));
  wanted.adapters["other.gguf"] = put(gguf(kQ8, "llama", "adapter"));
  EXPECT_EQ(create(wanted).error().what, "only one adapter is currently supported");
}

TEST_F(Create, TakesADraftModelAndReplacesItsBases) {
  auto wanted = request("d");
  wanted.files = {{"model.gguf", put(gguf(kF16))}};
  wanted.drafts = {{"small.gguf", put(gguf(kQ8))}};
  must_create(wanted);
  EXPECT_EQ(load("d")->weights, Digest::of(gguf(kF16)));
  EXPECT_EQ(load("d")->draft_path, store_->blob_path(Digest::of(gguf(kQ8))));
  EXPECT_THAT(load("d")->config.model_families, ElementsAre("llama"));
  auto derived = request("e");
  derived.from = "d";
  derived.drafts = {{"other.gguf", put(gguf(kF16))}};
  must_create(derived);
  EXPECT_EQ(load("e")->draft_path, store_->blob_path(Digest::of(gguf(kF16))));
}

TEST_F(Create, MergesSplitFilesAndMissesAPart) {
  auto wanted = request("s");
  wanted.files = {{"m-00001-of-00002.gguf", put(gguf(kF16) + "1")},
                  {"m-00002-of-00002.gguf", put(gguf(kF16) + "2")}};
  must_create(wanted);
  EXPECT_EQ(load("s")->weights, Digest::of(gguf(kF16)));
  wanted.files.erase("m-00001-of-00002.gguf");
  EXPECT_THAT(create(wanted).error().what, HasSubstr("m-00001-of-00002.gguf is missing"));
}

TEST_F(Create, LeavesNothingOfWhatItMadeOnTheWay) {
  auto wanted = request("s");
  wanted.files = {{"m-00001-of-00002.gguf", put(gguf(kF16) + "1")},
                  {"m-00002-of-00002.gguf", put(gguf(kF16) + "2")}};
  wanted.quantize = "q8_0";
  wanted.adapters = {{"lora.gguf", Digest::of("never uploaded")}};
  EXPECT_FALSE(create(wanted));
  EXPECT_FALSE(store_->blob_size(Digest::of(gguf(kF16))));
  wanted.adapters.clear();
  must_create(wanted);
  EXPECT_EQ(load("s")->weights, Digest::of(gguf(kQ8)));
  EXPECT_FALSE(store_->blob_size(Digest::of(gguf(kF16))));
  EXPECT_TRUE(store_->blob_size(Digest::of(gguf(kF16) + "1"))) << "for one made otherwise of them";
}

TEST_F(Create, TakesNotOneOfTwoSplitModelsAtWill) {
  auto wanted = request("s");
  wanted.files = {{"q4-00001-of-00002.gguf", put(gguf(kF16) + "1")},
                  {"q4-00002-of-00002.gguf", put(gguf(kF16) + "2")},
                  {"q8-00001-of-00002.gguf", put(gguf(kF16) + "3")},
                  {"q8-00002-of-00002.gguf", put(gguf(kF16) + "4")}};
  EXPECT_EQ(create(wanted).error().what, "2 models in one create request; give one");
  EXPECT_TRUE(wait(store_->list()).value().empty());
}

TEST_F(Create, SaysWhatConvertingSafetensorsNeeds) {
  auto wanted = request("c");
  wanted.files = {{"model.safetensors", put("weights")}, {"config.json", put("{}")}};
  EXPECT_THAT(create(wanted).error().what, HasSubstr("convert_hf_to_gguf.py"));
  start_with_converter(&bare_python);
  const auto done = create(wanted);
  EXPECT_EQ(done.error().code, Errc::unsupported);
  EXPECT_THAT(done.error().what, HasSubstr("`/bin/python3 -m pip install torch transformers`"));
}

TEST_F(Create, GivesAConverterOnlyDataAndSaysWhichModelNeedsItsCode) {
  auto wanted = request("c");
  for (const char* name : {"model.safetensors", "config.json", "merges.txt", "qwen.tiktoken",
                           "a.py", "tokenizers/b.py", "c.so", "pytorch_model.bin"}) {
    wanted.files[name] = put(name);
  }
  start_with_converter(&full_python);
  const auto refused = create(wanted);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_THAT(refused.error().what, HasSubstr("QWenLMHeadModel comes with Python code of its own"));
  EXPECT_THAT(refused.error().what,
              HasSubstr("python3 failed (exit status 1): config.json | merges.txt | "
                        "model.safetensors | qwen.tiktoken | HF_HUB_OFFLINE=1 | "
                        "TRANSFORMERS_OFFLINE=1"));

  install("/bin/python3", &working_python);
  must_create(wanted);
  EXPECT_EQ(load("c")->weights, Digest::of(gguf(kF16)));
}

TEST_F(Create, RefusesWhatIsNoRequest) {
  auto wanted = request("m");
  EXPECT_EQ(create(wanted).error().what, "neither 'from' or 'files' was specified");
  wanted.files = {{"readme.txt", put("hello")}};
  EXPECT_EQ(create(wanted).error().what, "unknown type");
  wanted.files = {{"../model.gguf", put("x")}};
  EXPECT_EQ(create(wanted).error().what, "file path must be relative");
  wanted.files = {{"model.gguf", Digest::of("never uploaded")}};
  EXPECT_THAT(create(wanted).error().what, HasSubstr(": no such file or directory"));
  wanted.files = {{"model.gguf", put(gguf(kF16).substr(0, 60))}};
  EXPECT_EQ(create(wanted).error().code, Errc::invalid_argument);
  EXPECT_TRUE(wait(store_->list()).value().empty());
}

TEST(ModelFiles, AcceptsOnlyPathsBelowTheirFolder) {
  for (const char* good : {"a", "a/b.gguf", "a-b/..c/d"}) EXPECT_TRUE(check_relative_path(good));
  for (const char* bad : {"", "/a", "..", "a/../b", "./a", "a//b", "a/", "a\\b"}) {
    EXPECT_FALSE(check_relative_path(bad)) << bad;
  }
}

TEST(ModelFiles, KnowsSplitNames) {
  const auto name = SplitName::parse("dir/m-x-00002-of-00010.gguf");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->count, 10);
  EXPECT_EQ(name->file_name(1), "dir/m-x-00001-of-00010.gguf");
  for (const char* other : {"m.gguf", "m-00003-of-00002.gguf", "m-1-of-2.gguf",
                            "-00001-of-00002.gguf", "m-0000a-of-00002.gguf"}) {
    EXPECT_FALSE(SplitName::parse(other)) << other;
  }
}

TEST(QuantizeLines, AreReadOnlyWhenTheyAreSteps) {
  EXPECT_EQ(parse_quantize_line("[  12/ 272] blk.0"), (std::pair<uint64_t, uint64_t>(12, 272)));
  for (const char* other : {"", "[", "[1/0] x", "[3/2] x", "[a/2]", "llama_model"}) {
    EXPECT_FALSE(parse_quantize_line(other)) << other;
  }
}

}  // namespace
}  // namespace om::transfer
