#include "sim/oracle_for_test.h"

#include <fmt/format.h>

#include "sim/fake_llama.h"

namespace om::sim {
namespace {

bool is_refusal(int status) { return status == 503; }

// Errors that say "not now" or "the runner failed"; others would be a mistake of ours.
bool is_honest(int status, std::string_view error) {
  if (status == 400) return error.contains("ended the model's runner twice");
  return (status == 500 || status == 503) && !error.empty();
}

}  // namespace

std::vector<std::string> judge(const Exchange& seen, const Circumstances& circumstances) {
  std::vector<std::string> complaints;
  const auto complain = [&](std::string text) {
    complaints.push_back(
        fmt::format("client {} request {}: {}", seen.client, seen.number, std::move(text)));
  };
  const std::string whole = fake_answer(seen.prompt, seen.predict);
  if (seen.timed_out) complain("never ended");
  if (!seen.nonsense.empty()) complain("got nonsense: " + seen.nonsense);
  if (!whole.starts_with(seen.text)) {
    complain(fmt::format("tokens lost or seen twice: got '{}' of '{}'", seen.text, whole));
  }
  if (seen.ends > 1 || seen.after_end) complain("something came after the end");
  if (seen.ends > 0 && !seen.error.empty()) complain("an end and an error: " + seen.error);
  if (seen.is_done()) {
    if (seen.text != whole) complain(fmt::format("done after '{}' of '{}'", seen.text, whole));
    const std::string reason = whole.size() < seen.predict ? "stop" : "length";
    if (seen.reason != reason) complain(fmt::format("ends by {}, not {}", seen.reason, reason));
    if (seen.output_count != static_cast<int64_t>(whole.size())) {
      complain(fmt::format("counts {} tokens, not {}", seen.output_count, whole.size()));
    }
    const bool uncounted = circumstances.may_not_count_prompt && seen.prompt_count == 0;
    if (!uncounted && seen.prompt_count != static_cast<int64_t>(seen.prompt.size())) {
      complain(fmt::format("counts a prompt of {}, not {}", seen.prompt_count, seen.prompt.size()));
    }
  }
  const bool told = seen.ends > 0 || !seen.error.empty() || seen.left || seen.timed_out;
  if (!told && seen.broken.empty()) complain("ended without a done line or an error");
  if (!seen.broken.empty() && !circumstances.resets && !seen.dawdles) {
    complain("the connection broke: " + seen.broken);
  }
  const bool refused = seen.status != 0 && seen.status != 200;
  const bool lacks = circumstances.may_lack_models && seen.status == 404;
  if (refused && !lacks && seen.broken.empty() && !seen.left &&
      !is_honest(seen.status, seen.error)) {
    complain(fmt::format("status {}: {}", seen.status, seen.error));
  }
  if (circumstances.calm && !seen.error.empty() && !is_refusal(seen.status)) {
    complain("failed while nothing was broken: " + seen.error);
  }
  return complaints;
}

}  // namespace om::sim
