// Reads files for this room's tests; the tests run in the checkout's root.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace om::prompt {

inline std::optional<std::string> read_test_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) return std::nullopt;
  std::string text;
  char block[4096];
  while (size_t bytes = std::fread(block, 1, sizeof(block), file)) text.append(block, bytes);
  std::fclose(file);
  return text;
}

inline std::string test_data(const std::string& name) {
  return read_test_file("src/prompt/testdata/" + name).value_or("missing " + name);
}

// A template that comes with llama.cpp's sources; absent where only its library is installed.
inline std::optional<std::string> llama_template(const std::string& name) {
  const char* home = std::getenv("HOME");
  return read_test_file(std::string(home ? home : "") +
                        "/.cache/ollamamax/src/llama.cpp-0.3.36/models/templates/" + name);
}

}  // namespace om::prompt
