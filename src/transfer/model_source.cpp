#include "transfer/model_source.h"

#include "store/gguf_file.h"
#include "store/hash_file.h"
#include "transfer/convert.h"
#include "transfer/quantize.h"

namespace om::transfer {
namespace {

constexpr size_t kFilesMax = 10'000;

// Takes a file that a child made into the store, if it is a sound GGUF.
io::Task<Result<Digest>> take_output(Context& context, io::Path output, store::Hold& hold,
                                     const ProgressSink& sink) {
  CO_TRY_VOID(co_await report(sink, "verifying conversion"));
  auto summary = co_await summary_of(context.world, output);
  if (!summary) co_return fail(annotate(summary.error(), "the converted file is broken"));
  CO_TRY(const Digest digest, co_await store::hash_file(context.world, output));
  std::vector<Digest> digests{digest};
  CO_TRY_VOID(co_await hold.add(std::move(digests)));
  CO_TRY_VOID(co_await context.store.adopt_file(std::move(output), digest));
  co_return digest;
}

class SourceReader {
 public:
  SourceReader(Context& context, const std::map<std::string, Digest>& files,
               std::string_view purpose, store::Hold& hold, const ProgressSink& sink, io::Call call)
      : context_(context),
        files_(files),
        purpose_(purpose),
        hold_(hold),
        sink_(sink),
        call_(std::move(call)) {}

  io::Task<Result<std::vector<ModelSource>>> run() {
    if (files_.size() > kFilesMax) {
      co_return fail(Errc::invalid_argument, "more than {} files", kFilesMax);
    }
    bool has_safetensors = false;
    for (const auto& [path, digest] : files_) {
      CO_TRY_VOID(check_uploaded(digest));
      if (kind_by_name(path) == FileKind::safetensors) has_safetensors = true;
    }
    if (has_safetensors) {
      CO_TRY_VOID(co_await convert());
    } else {
      CO_TRY_VOID(co_await read_gguf_files());
    }
    if (sources_.empty()) co_return fail(Errc::invalid_argument, "unknown type");
    // The weights first, as in Ollama's manifests: who reads the families sees the model's own.
    std::sort(sources_.begin(), sources_.end(), [](const auto& a, const auto& b) {
      return (a.kind == "model") > (b.kind == "model");
    });
    CO_TRY_VOID(check_kinds(0));
    co_return std::move(sources_);
  }

 private:
  Result<void> check_uploaded(const Digest& digest) {
    if (context_.store.blob_size(digest)) return {};
    return fail(Errc::not_found, "open {}: no such file or directory",
                context_.store.blob_path(digest));
  }

  // `to_merge`: models that are not among the sources yet.
  Result<void> check_kinds(size_t to_merge) {
    const auto is_model = [](const auto& source) { return source.kind == "model"; };
    const size_t models = to_merge + static_cast<size_t>(std::ranges::count_if(sources_, is_model));
    if (models > 1) {
      return fail(Errc::invalid_argument, "{} models in one create request; give one", models);
    }
    return {};
  }

  io::Task<Result<void>> convert() {
    if (purpose_ == "adapter") {
      co_return fail(Errc::unsupported,
                     "adapters in safetensors format are not supported; convert them to GGUF with "
                     "llama.cpp's convert_lora_to_gguf.py first");
    }
    CO_TRY_VOID(co_await report(sink_, "converting model"));
    CO_TRY(const auto workspace, co_await context_.store.make_workspace());
    const io::Path folder = io::join(workspace->path(), "model");
    const io::Path output = io::join(workspace->path(), "converted.gguf");
    CO_TRY_VOID(context_.world.files.make_directories(folder));
    CO_TRY_VOID(co_await convert_safetensors(context_, files_, folder, output, call_));
    CO_TRY(const Digest digest, co_await take_output(context_, output, hold_, sink_));
    sources_.push_back({std::string(purpose_), digest, true});
    co_return Result<void>{};
  }

  io::Task<Result<void>> read_gguf_files() {
    CO_TRY_VOID(co_await report(sink_, "parsing GGUF"));
    std::map<std::string, SplitName> splits;  // One model each, by its first file.
    for (const auto& [path, digest] : files_) {
      const auto name = SplitName::parse(path);
      if (name && name->count > 1) {
        splits.emplace(name->file_name(1), *name);
        continue;
      }
      CO_TRY_VOID(co_await read_one(path, digest));
    }
    CO_TRY_VOID(check_kinds(purpose_ == "model" ? splits.size() : 0));
    for (const auto& [first, split] : splits) CO_TRY_VOID(co_await merge(split));
    co_return Result<void>{};
  }

  io::Task<Result<void>> read_one(const std::string& path, Digest digest) {
    const io::Path blob = context_.store.blob_path(digest);
    if (kind_by_name(path) == FileKind::other) {
      CO_TRY(const auto file, context_.world.files.open(blob, io::Filesystem::Open::read));
      std::array<char, 4> start{};
      CO_TRY(const size_t count, file->read_at(0, start));
      // Other files (a README, a tokenizer) may lie beside the model.
      if (!model::is_gguf(std::string_view(start.data(), count))) co_return Result<void>{};
    }
    auto summary = co_await summary_of(context_.world, blob);
    if (!summary) {
      Error error = annotate(std::move(summary).error(), path);
      if (error.code == Errc::corrupt) error.code = Errc::invalid_argument;  // Who sent it errs.
      co_return fail(std::move(error));
    }
    if (summary->split_count > 1) {
      co_return fail(Errc::invalid_argument,
                     "{} is one of {} split files; give all of them, named "
                     "<name>-00001-of-{:05}.gguf and so on",
                     path, summary->split_count, summary->split_count);
    }
    std::string kind(purpose_);
    if (summary->is_adapter()) kind = "adapter";
    if (purpose_ == "model" && summary->is_projector()) kind = "projector";
    sources_.push_back({std::move(kind), digest, false});
    co_return Result<void>{};
  }

  io::Task<Result<void>> merge(SplitName split) {
    CO_TRY(const auto workspace, co_await context_.store.make_workspace());
    SplitName local = split;
    local.stem = io::join(workspace->path(), "part");
    uint64_t total = 0;
    for (int part = 1; part <= split.count; part++) {
      const auto found = files_.find(split.file_name(part));
      if (found == files_.end()) {
        co_return fail(Errc::invalid_argument, "the split file {} is missing",
                       split.file_name(part));
      }
      CO_TRY_VOID(context_.world.files.link(context_.store.blob_path(found->second),
                                            local.file_name(part)));
      CO_TRY(const uint64_t size, context_.store.blob_size(found->second));
      total += size;
    }
    QuantizeJob job{local.file_name(1),
                    io::join(workspace->path(), "merged.gguf"),
                    "COPY",
                    "merging split files",
                    {},
                    total};
    const io::Path output = job.output;
    CO_TRY_VOID(co_await quantize(context_, std::move(job), sink_, call_));
    CO_TRY(const Digest digest, co_await take_output(context_, output, hold_, sink_));
    sources_.push_back({std::string(purpose_), digest, true});
    co_return Result<void>{};
  }

  Context& context_;
  const std::map<std::string, Digest>& files_;
  const std::string_view purpose_;
  store::Hold& hold_;
  const ProgressSink& sink_;
  io::Call call_;
  std::vector<ModelSource> sources_;
};

}  // namespace

io::Task<Result<model::GgufSummary>> summary_of(io::World& world, io::Path path) {
  auto job = [&world, &path] { return store::read_gguf_summary(world.files, path); };
  co_return co_await world.workers.run(std::move(job));
}

io::Task<Result<std::vector<ModelSource>>> read_sources(Context& context,
                                                        const std::map<std::string, Digest>& files,
                                                        std::string_view purpose, store::Hold& hold,
                                                        const ProgressSink& sink, io::Call call) {
  SourceReader reader(context, files, purpose, hold, sink, std::move(call));
  co_return co_await reader.run();
}

io::Task<Result<std::optional<Digest>>> quantize_blob(Context& context, Digest weights,
                                                      const std::string& type, store::Hold& hold,
                                                      const ProgressSink& sink, io::Call call) {
  const io::Path input = context.store.blob_path(weights);
  CO_TRY(const auto summary, co_await summary_of(context.world, input));
  const bool is_full =
      summary.file_type == "F16" || summary.file_type == "BF16" || summary.file_type == "F32";
  if (!is_full) {
    co_return fail(Errc::invalid_argument,
                   "quantization is only supported for F16, BF16 and F32 models");
  }
  if (summary.file_type == type) co_return std::optional<Digest>{};
  CO_TRY(const uint64_t size, context.store.blob_size(weights));
  CO_TRY(const auto workspace, co_await context.store.make_workspace());
  QuantizeJob job{input,   io::join(workspace->path(), "quantized.gguf"),
                  type,    fmt::format("quantizing {} model to {}", summary.file_type, type),
                  weights, size};
  const io::Path output = job.output;
  CO_TRY_VOID(co_await quantize(context, std::move(job), sink, call));
  CO_TRY(const Digest digest, co_await take_output(context, output, hold, sink));
  co_return std::optional<Digest>(digest);
}

}  // namespace om::transfer
