#include "transfer/model_files.h"

#include "base/strings.h"

namespace om::transfer {
namespace {

std::optional<int> five_digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.size() != 5 || error != std::errc{} || end != text.data() + text.size() || value < 1) {
    return {};
  }
  return value;
}

}  // namespace

Result<void> check_relative_path(std::string_view path) {
  const auto refused = [] { return fail(Errc::invalid_argument, "file path must be relative"); };
  if (path.empty() || path.size() > 4096 || path.find('\0') != std::string_view::npos ||
      path.find('\\') != std::string_view::npos) {
    return refused();
  }
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const auto part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return refused();
    at = end + 1;
  }
  return {};
}

FileKind kind_by_name(std::string_view path) {
  const std::string name = to_lower(path);
  if (name.ends_with(".gguf")) return FileKind::gguf;
  if (name.ends_with(".safetensors")) return FileKind::safetensors;
  return FileKind::other;
}

std::optional<SplitName> SplitName::parse(std::string_view path) {
  // <stem>-NNNNN-of-NNNNN.gguf
  constexpr std::string_view kOf = "-of-", kExtension = ".gguf";
  constexpr size_t kTail = 1 + 5 + kOf.size() + 5 + kExtension.size();
  if (path.size() <= kTail || kind_by_name(path) != FileKind::gguf) return {};
  const auto tail = path.substr(path.size() - kTail);
  const auto number = five_digits(tail.substr(1, 5));
  const auto count = five_digits(tail.substr(6 + kOf.size(), 5));
  if (tail[0] != '-' || tail.substr(6, kOf.size()) != kOf || !number || !count) return {};
  if (*number > *count) return {};
  return SplitName{std::string(path.substr(0, path.size() - kTail)), *number, *count};
}

std::string SplitName::file_name(int part) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, count);
}

Result<std::string> quantization_type(std::string_view asked) {
  const std::string name = to_lower(asked);
  if (name == "q4_k") return std::string("Q4_K_M");
  for (const std::string_view type : {"F32", "F16", "BF16", "Q4_K_S", "Q4_K_M", "Q8_0"}) {
    if (to_lower(type) == name) return std::string(type);
  }
  return fail(Errc::invalid_argument,
              "unsupported quantization type {} - supported types are F32, F16, Q4_K_S, Q4_K_M, "
              "Q8_0",
              asked);
}

}  // namespace om::transfer
