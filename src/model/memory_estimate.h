// How much memory a llama-server child will need for a model, before it is started.
//
// The formulas are those of llama.cpp's allocators (KV cache, output buffer) and, for the compute
// buffer, a fit to what it reserves. Checked against the child of the pinned release with
// SmolLM2-135M Q4_1 and Gemma 3 270M Q4_K_M on x86 (AVX2), 14 launches over contexts of 2048 to
// 32768, 1 to 8 slots, f16, q8_0 and q4_0 caches, ubatches of 128 to 1024, flash attention on and
// off (figures in memory_estimate_test.cpp):
//   weights, repacked copies, cache: exact;  output: at most 0.5 MiB too high;
//   compute: 2.4 % too low to 5.3 % too high;
//   whole process (VmRSS after a request that filled the buffers): 0.1 % too low to 8 % too high.
// The process's own share was fitted to the same launches. With the encoder all-MiniLM-L6-v2 F16,
// 5 launches: compute within 1 %, whole process 7 to 14 % too high. Not checked: other encoders,
// models with experts, recurrent layers or MLA, projectors, GPUs.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/gguf.h"

namespace om::model {

// The launch, as llama-server's flags say it.
struct MemoryPlan {
  int context = 4096;                                // -c: tokens of all slots together.
  int slots = 1;                                     // -np
  int ubatch = 512;                                  // -ub
  std::string key_type = "f16", value_type = "f16";  // -ctk, -ctv
  bool unified = true;                               // -kvu: one cache for all slots.
  bool flash_attention =
      true;                 // Else the attention matrix is held, and values cannot be quantized.
  bool embeddings = false;  // --embedding: outputs for every token of a batch.
  int checkpoints = 0;      // -ctxcp, counted in full for each slot; sliding and recurrent only.
  uint64_t prompt_cache_bytes = 0;  // --cache-ram, counted in full.
  uint64_t projector_bytes = 0;     // Size of the --mmproj file.
};

// Bytes, by what they are for.
struct MemoryEstimate {
  uint64_t weights = 0;   // Mapped from the file; the kernel can drop them and read them again.
  uint64_t repacked = 0;  // Second copies for the CPU's kernels.
  uint64_t cache = 0;     // Keys and values.
  uint64_t state = 0;     // Recurrent layers.
  uint64_t output = 0;
  uint64_t compute = 0;
  uint64_t process = 0;  // Code, vocabulary, server.
  uint64_t checkpoints = 0;
  uint64_t prompt_cache = 0;
  uint64_t projector = 0;

  uint64_t total() const;
};

// invalid_argument: a cache type llama.cpp does not have, or a plan without tokens or slots.
Result<MemoryEstimate> estimate_memory(const GgufSummary& model, const MemoryPlan& plan);

// Bytes of `elements` in a cache of this type ("f16", "q8_0", ...), 0 for an unknown type.
uint64_t cache_bytes(std::string_view type, uint64_t elements);

}  // namespace om::model
