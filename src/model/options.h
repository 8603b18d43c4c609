// The options of a request, a Modelfile's PARAMETERs and their defaults, Ollama's names and values.
// Plain values and pure functions; any thread.
// Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx#parameter
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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

  bool operator==(const RunnerOptions&) const = default;
};

struct Options {
  Sampling sampling;
  RunnerOptions runner;
  std::vector<std::string> unknown;  // Names that mean nothing to us; warned about, ignored.

  // Lays `values` over what is set already: defaults, then a model's params, then the request's.
  // Fractions of whole numbers are cut off, null leaves what was set, deprecated names are ignored.
  // On an error nothing has changed.
  // invalid_argument: `option "num_predict" must be of type integer` and its kin.
  Result<void> apply(const boost::json::object& values);
};

// True for names Ollama once had and now ignores (mirostat, low_vram, ...).
bool is_deprecated_option(std::string_view name);

// The value of `PARAMETER name text` (or `/set parameter`) as the params layer holds it; "stop"
// gives a list of one. Null for a deprecated name.
// invalid_argument: `unknown parameter 'x'`, `invalid int value [abc]` and its kin.
Result<boost::json::value> parse_parameter(std::string_view name, std::string_view text);

// Adds a parsed parameter: lists grow, other values are replaced, null is left out.
void add_parameter(boost::json::object& params, std::string_view name, boost::json::value value);

// The params layer: sorted by name, with a newline, as Ollama writes it.
std::string params_to_json(const boost::json::object& params);

// The `parameters` text of show: a line `%-30s value` for each value, strings in quotes.
std::string parameters_text(const boost::json::object& params);

// `text` in double quotes, special characters as Go's %q writes them.
std::string go_quote(std::string_view text);

}  // namespace om::model
