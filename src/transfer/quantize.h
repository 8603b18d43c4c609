// Rewrites GGUF files with llama-quantize.
#pragma once

#include "model/gguf.h"
#include "transfer/context.h"

namespace om::transfer {

struct QuantizeJob {
  io::Path input, output;
  std::string type;              // "Q8_0"; "COPY" only rewrites, and merges split files.
  std::string status;            // For the progress lines: "quantizing F16 model to Q8_0".
  std::optional<Digest> digest;  // Shown with the progress.
  uint64_t total = 0;            // Bytes of the input, for the progress.
};

// unsupported: no llama-quantize is installed. io_failed: the disk is full. internal: it failed.
io::Task<Result<void>> quantize(Context& context, QuantizeJob job, const ProgressSink& sink,
                                io::Call call);

// "[ 12/ 272] blk.0..." of llama-quantize's output: 12 and 272.
std::optional<std::pair<uint64_t, uint64_t>> parse_quantize_line(std::string_view line);

}  // namespace om::transfer
