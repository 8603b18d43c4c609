#include "io/pseudo_file.h"

#include <array>

namespace om::io {

std::string read_pseudo_file(Filesystem& files, const Path& path, size_t bytes_max) {
  std::string text;
  auto file = files.open(path, Filesystem::Open::read);
  if (!file) return text;
  std::array<char, 16384> piece{};
  while (text.size() < bytes_max) {
    const auto room = std::span(piece).first(std::min(piece.size(), bytes_max - text.size()));
    const auto count = (*file)->read_at(text.size(), room);
    if (!count || *count == 0) break;
    text.append(piece.data(), *count);
  }
  return text;
}

}  // namespace om::io
