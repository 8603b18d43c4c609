// Turns the uploaded files of a create request into verified GGUF blobs.
#pragma once

#include "transfer/context.h"
#include "transfer/model_files.h"

namespace om::transfer {

struct ModelSource {
  std::string kind;  // "model", "projector", "adapter" or "draft".
  Digest digest;
  bool is_new = false;  // Made here; else it is the uploaded blob itself.
};

// Reads GGUF headers to their end, converts safetensors and merges split files. `purpose`: the
// files were given as "model", "adapter" or "draft". not_found "open PATH: no such file or
// directory": a blob was not uploaded. invalid_argument "unknown type": neither GGUF nor
// safetensors.
io::Task<Result<std::vector<ModelSource>>> read_sources(Context& context,
                                                        const std::map<std::string, Digest>& files,
                                                        std::string_view purpose, store::Hold& hold,
                                                        const ProgressSink& sink, io::Call call);

// The blob in another type; nullopt: it is of that type already. invalid_argument
// "quantization is only supported for F16, BF16 and F32 models", whatever the type.
io::Task<Result<std::optional<Digest>>> quantize_blob(Context& context, Digest weights,
                                                      const std::string& type, store::Hold& hold,
                                                      const ProgressSink& sink, io::Call call);

// Of a GGUF file, read on a worker.
io::Task<Result<model::GgufSummary>> summary_of(io::World& world, io::Path path);

}  // namespace om::transfer
