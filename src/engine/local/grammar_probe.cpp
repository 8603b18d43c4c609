#include "engine/local/grammar_probe.h"

#include "base/log.h"

namespace om::engine {
namespace {

// No letter of the rest is one of the beginning.
constexpr std::string_view kSaid = "abc", kRest = "xyz";

}  // namespace

std::string GrammarProbe::body() {
  return fmt::format(
      R"({{"prompt":"Say it.","n_predict":1,"temperature":0,"cache_prompt":false,)"
      R"("grammar":"root ::= \"{}{}\"","grammar_type":"tool_calls","grammar_lazy":false,)"
      R"("generation_prompt":"{}"}})",
      kSaid, kRest, kSaid);
}

void GrammarProbe::take(std::string_view content) {
  advances_ = !content.empty() && kRest.starts_with(content);
  if (*advances_) return;
  log_error(
      "this llama-server begins grammars anew: answers that a schema or tools constrain end with "
      "the runner that makes them",
      field("probe", content.substr(0, 16)));
}

Result<void> GrammarProbe::check() const {
  if (advances_.value_or(true)) return {};
  return fail(Errc::unsupported,
              "the answer cannot go on: this llama-server does not advance a grammar over what was "
              "said (generation_prompt); build the one that ./run build builds");
}

}  // namespace om::engine
