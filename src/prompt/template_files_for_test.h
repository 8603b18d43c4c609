// Reads files for this room's tests; the tests run in the checkout's root.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
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

// Chat templates of real models, by file name; put there by `tools/build_llama.sh templates`.
inline std::map<std::string, std::string> llama_templates() {
  const char* home = std::getenv("HOME");
  const char* given = std::getenv("OLLAMAMAX_LLAMA_DIR");
  const std::string llama =
      given ? given : std::string(home ? home : "") + "/.cache/ollamamax/llama/current";
  std::map<std::string, std::string> templates;
  std::error_code none;
  for (const auto& file : std::filesystem::directory_iterator(llama + "/templates", none)) {
    if (file.path().extension() != ".jinja") continue;
    templates[file.path().filename()] = read_test_file(file.path()).value_or("");
  }
  return templates;
}

}  // namespace om::prompt
