// The options of a request, a Modelfile's PARAMETERs and their defaults, Ollama's names and values.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace om::model {

// How tokens are drawn. Changing these never reloads a runner.
struct Sampling {
  int num_predict = -1;  // Tokens to produce; negative: until the model stops.
  int num_keep = 4;      // Tokens kept from the start of the prompt when it is cut.
  int top_k = 40;
  double top_p = 0.9, min_p = 0.0, typical_p = 1.0, temperature = 0.8;
  int repeat_last_n = 64;
  double repeat_penalty = 1.0, presence_penalty = 0.0, frequency_penalty = 0.0;
  int64_t seed = -1;  // -1: random.
  std::vector<std::string> stop;
};

// How a runner is launched. Absent: chosen automatically.
struct RunnerOptions {
  std::optional<int> num_ctx, num_batch, num_gpu, main_gpu, num_thread, draft_num_predict;
  std::optional<bool> use_mmap;
};

struct Options {
  Sampling sampling;
  RunnerOptions runner;
  std::vector<std::string> unknown;  // Names that mean nothing to us; warned about, ignored.

  // Lays `values` over what is set already: defaults, then a model's params, then the request's.
  // invalid_argument: `option "num_predict" must be of type integer` and its kin.
  Result<void> apply(const boost::json::object& values);
};

}  // namespace om::model
