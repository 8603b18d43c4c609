// What tests of this room and of those above share: how to start the stand-in for llama-server
// (tools/fake_llama.py) and the real one.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "engine/local/launch.h"
#include "io/co_assert_for_test.h"
#include "io/real.h"

namespace om::engine::testing {

// Runs one test's coroutine in a real world, to its end and that of all it started.
inline void run(const std::function<io::Task<void>(io::World&)>& test) {
  io::RealWorld real;
  real.run_until_done(test(real.world()));
}

inline std::string temporary_directory() {
  std::string path = "/tmp/ollamamax-test-XXXXXX";
  return mkdtemp(path.data()) ? path : std::string();
}

// Behaviours by name and value as tools/fake_llama.py lists them, in capitals: {"TOKENS", "5"}.
using Behaviour = std::vector<std::pair<std::string, std::string>>;

inline LaunchOptions fake_options(Behaviour behaviour = {}) {
  LaunchOptions options;
  options.program = "tools/fake_llama.py";
  options.runtime_directory = temporary_directory() + "/run";
  options.name = "fake";
  options.model_path = "/nonexistent/fake.gguf";
  for (auto& [name, value] : behaviour) {
    options.environment.emplace_back("FAKE_LLAMA_" + name, std::move(value));
  }
  return options;
}

inline std::string cache_directory() {
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "/root") + "/.cache/ollamamax";
}

// Empty if absent: the test must fail then and say so, since CI always has it.
inline std::string existing(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0 ? path : std::string();
}

inline std::string real_llama_server() {
  const char* directory = std::getenv("OLLAMAMAX_LLAMA_DIR");
  return existing((directory ? directory : cache_directory() + "/llama/current") +
                  "/bin/llama-server");
}

inline std::string real_model() {
  return existing(cache_directory() + "/models/SmolLM2-135M-Instruct.Q4_1.gguf");
}

}  // namespace om::engine::testing
