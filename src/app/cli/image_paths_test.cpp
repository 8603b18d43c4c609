#include "app/cli/image_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace om::app {
namespace {

using ::testing::ElementsAre;

// What is left of the text, then the paths that were found in it.
std::vector<std::string> taken(std::string text) {
  const std::set<std::string> files{"a.png",       "./a.png",     "../b.JPG", "/x/c.jpeg",
                                    "/x/a b.webp", "My P.png",    "(a).png",  "/x/it's.png",
                                    "/x/a",        "/x/d.jpg.png"};
  const auto found = find_image_paths(text, [&](const auto& path) { return files.contains(path); });
  std::vector<std::string> result;
  for (auto image = found.rbegin(); image != found.rend(); image++) {
    text.erase(image->begin, image->end - image->begin);
  }
  result.push_back(text);
  for (const ImagePath& image : found) result.push_back(image.path);
  return result;
}

TEST(ImagePaths, AreFoundAsPeopleWriteThem) {
  EXPECT_THAT(taken("What is in ./a.png?"), ElementsAre("What is in ?", "./a.png"));
  EXPECT_THAT(taken("a.png, please"), ElementsAre(", please", "a.png"));
  EXPECT_THAT(taken("first line\n/x/c.jpeg\nlast"), ElementsAre("first line\n\nlast", "/x/c.jpeg"));
  EXPECT_THAT(taken("../b.JPG and (a.png)"), ElementsAre(" and ()", "../b.JPG", "a.png"));
  EXPECT_THAT(taken("see file:///x/c.jpeg"), ElementsAre("see ", "/x/c.jpeg"));
  EXPECT_THAT(taken("/x/d.jpg.png"), ElementsAre("", "/x/d.jpg.png"));
}

TEST(ImagePaths, MayHaveBlanks) {
  EXPECT_THAT(taken("look: My\\ P.png now"), ElementsAre("look:  now", "My P.png"));
  EXPECT_THAT(taken("'/x/a b.webp' what?"), ElementsAre(" what?", "/x/a b.webp"));
  EXPECT_THAT(taken("\"/x/it's.png\""), ElementsAre("", "/x/it's.png"));
  EXPECT_THAT(taken("is /x/a b.webp nice"), ElementsAre("is  nice", "/x/a b.webp"));
  EXPECT_THAT(taken("\\(a\\).png"), ElementsAre("", "(a).png"));
}

TEST(ImagePaths, AreOnlyFilesThatExist) {
  EXPECT_THAT(taken("./none.png is not there"), ElementsAre("./none.png is not there"));
  EXPECT_THAT(taken("a.pngs, a.txt and /x/a"), ElementsAre("a.pngs, a.txt and /x/a"));
  EXPECT_THAT(taken(".png"), ElementsAre(".png"));
  EXPECT_THAT(taken(""), ElementsAre(""));
}

}  // namespace
}  // namespace om::app
