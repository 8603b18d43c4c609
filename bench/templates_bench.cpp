// What one chat costs before its first token, and each token of its answer after: rendering of the
// messages and parsing of the answer, with jinja templates, and Go's (*.gotmpl).
//
//   templates_bench ROUNDS TEMPLATE...    files; one line a case: template, kind, turns, tools,
//                                         microseconds (median)
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "prompt/render.h"

namespace {

using namespace om;

constexpr int kTokens = 600;

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

prompt::ChatInput conversation(int turns, bool tools) {
  prompt::ChatInput input;
  input.messages.push_back({.role = "system", .content = "You are helpful and brief."});
  for (int turn = 0; turn < turns; turn++) {
    input.messages.push_back({.role = "user", .content = fmt::format("What is {} and why?", turn)});
    if (turn + 1 < turns) input.messages.push_back({.role = "assistant", .content = "A number."});
  }
  if (tools) {
    input.tools.push_back(boost::json::parse(
        R"({"type":"function","function":{"name":"travel","description":"Plans a journey.",
            "parameters":{"type":"object","required":["city"],"properties":{
            "city":{"type":"string"},"days":{"type":"integer"}}}}})"));
  }
  return input;
}

template <class Work>
double median_us(int rounds, Work&& work) {
  std::vector<double> times;
  for (int round = 0; round < rounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    work(round);
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
    times.push_back(took.count());
  }
  std::ranges::nth_element(times, times.begin() + rounds / 2);
  return times[static_cast<size_t>(rounds) / 2];
}

// A thought, then text: what a model that thinks says.
std::vector<std::string> answer(bool thinks) {
  std::vector<std::string> pieces;
  if (thinks) pieces.emplace_back("<think>\n");
  for (int i = 0; i < kTokens; i++) {
    if (thinks && i == kTokens / 2) pieces.emplace_back("</think>\n\n");
    pieces.push_back(fmt::format(" word{}", i % 100));
  }
  return pieces;
}

void tell(const std::string& name, std::string_view kind, int turns, bool tools, double time) {
  fmt::print("{}\t{}\t{}\t{}\t{:.2f}\n", name, kind, turns, tools ? "a tool" : "-", time);
}

void run(const std::string& name, const prompt::Template& chosen, int rounds) {
  const auto first_time = median_us(1, [&](int) { (void)chosen.chat(conversation(1, false)); });
  tell(name, "first", 1, false, first_time);
  for (const bool tools : {false, true}) {
    if (tools && !chosen.capabilities().tools) continue;
    for (const int turns : {1, 10}) {
      (void)chosen.chat(conversation(turns, tools));
      const double time = median_us(rounds, [&](int round) {
        prompt::ChatInput input = conversation(turns, tools);
        input.messages.back().content += std::to_string(round);
        if (!chosen.chat(input)) std::abort();
      });
      tell(name, "chat", turns, tools, time);
    }
    const auto rendered = chosen.chat(conversation(1, tools)).value();
    const auto pieces = answer(chosen.capabilities().thinking);
    const double time = median_us(std::max(3, rounds / 20), [&](int) {
      const auto parser = rendered.answer.make_parser([] { return std::string("call_1"); });
      for (const std::string& piece : pieces) (void)parser->feed(piece).value();
      (void)parser->finish().value();
    });
    tell(name, "token", 1, tools, time / static_cast<double>(pieces.size()));
  }
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) return 2;
  const int rounds = std::max(1, std::atoi(words[1]));
  for (const std::filesystem::path file : std::span(words + 2, words + count)) {
    prompt::TemplateSource source{.eos_token = "<|im_end|>"};
    (file.extension() == ".gotmpl" ? source.go : source.jinja) = read(file);
    run(file.stem(), *prompt::make_template(std::move(source)).value(), rounds);
  }
  return 0;
}
