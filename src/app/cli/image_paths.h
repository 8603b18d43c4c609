// Images that a prompt names by their paths, as people type them, paste them or drag them into a
// terminal: "./a.png", "file:///x/a.png", "My\ Picture.png", "'/x/a b.jpg'", "/x/a b.jpg".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace om::app {

struct ImagePath {
  size_t begin = 0, end = 0;  // Its place in the text, quotes included.
  std::string path;
};

// The paths in the text that exist, in order. If a path has blanks without quotes or backslashes,
// the shortest path that exists is taken.
std::vector<ImagePath> find_image_paths(std::string_view text,
                                        const std::function<bool(const std::string&)>& exists);

}  // namespace om::app
