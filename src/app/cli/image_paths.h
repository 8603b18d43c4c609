// Images that a prompt names by their paths, as people type them, paste them or drag them into a
// terminal: "./a.png", "file:///x/a.png", "My\ Picture.png", "'/x/a b.jpg'", "/x/a b.jpg".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace om::app {

struct ImagePath {
  size_t begin = 0, end = 0;  // Where the text names it, quotes included.
  std::string path;
};

// Those for which `exists` says so, in their order. Of a path with blanks that nothing marks, the
// shortest that exists is taken.
std::vector<ImagePath> find_image_paths(std::string_view text,
                                        const std::function<bool(const std::string&)>& exists);

}  // namespace om::app
