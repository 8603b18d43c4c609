#include "prompt/media.h"

#include <gtest/gtest.h>

namespace om::prompt {
namespace {

using Images = std::vector<std::string>;

TEST(Media, ImagesInARowGetALineBetweenThemAndTheLastOneBehind) {
  std::string prompt = "<M><M><M>a <M> b<M>";
  ASSERT_TRUE(settle_media(prompt, "<M>", 5));
  EXPECT_EQ(prompt, "<M>\n<M>\n<M>a <M> b<M>\n");
  const std::string settled = prompt;
  ASSERT_TRUE(settle_media(prompt, "<M>", 5));
  EXPECT_EQ(prompt, settled);
}

TEST(Media, ImagesStandWhereTheyWereAmongTheTexts) {
  model::Message message;
  message.add_image("a");
  message.content = "before [img]";
  message.add_image("b");
  message.content += "\nafter";
  message.add_image("c");
  EXPECT_EQ(with_media_markers(message, "<M>"), "<M>before [img]<M>\nafter<M>");
  message.image_places = {0, 1000, 3};  // Whoever changed the text meanwhile.
  EXPECT_EQ(with_media_markers(message, "<M>"), "<M>before [img]\nafter<M><M>");
}

TEST(Media, ImagesWithoutAPlaceStandWhereTheTextNamesThemElseInFront) {
  model::Message message{.content = "see [img] there", .images = {"a", "b"}};
  EXPECT_EQ(with_media_markers(message, "<M>"), "<M>see <M> there");
  EXPECT_EQ(with_media_markers(message, ""), "see [img] there");
}

// In one pass: these took minutes, in which the node did nothing else.
TEST(Media, PlacesByTheMillionTakeNoSeconds) {
  constexpr size_t kPlaces = 1'000'000;
  model::Message message{.images = Images(kPlaces)};
  for (size_t i = 0; i < kPlaces; ++i) message.content += "[img]";
  const std::clock_t start = std::clock();
  std::string prompt = with_media_markers(message, "<MARKER>");
  EXPECT_TRUE(settle_media(prompt, "<MARKER>", kPlaces));
  replace_media_markers(prompt, "<MARKER>", "<M>");
  EXPECT_EQ(prompt.size(), kPlaces * 4);
  EXPECT_TRUE(with_named_media(prompt, "<M>").ends_with("[img-999999]\n"));
  message.content = "none";
  EXPECT_TRUE(with_media_markers(message, "<M>").ends_with("<M>none"));
  std::string raw(1'000'000, 'a');
  const auto images = place_named_media(raw, "<M>", Images(kPlaces));
  EXPECT_TRUE(images && raw.starts_with("<M><M>"));
  EXPECT_LT(std::clock() - start, 20 * CLOCKS_PER_SEC);
}

TEST(Media, ATemplateThatLeavesImagesOutIsToldOf) {
  std::string prompt = "a<M>";
  const auto few = settle_media(prompt, "<M>", 2);
  ASSERT_FALSE(few);
  EXPECT_EQ(few.error().code, Errc::invalid_argument);
  EXPECT_NE(few.error().what.find("1 images, and 2 came"), std::string::npos);
  EXPECT_TRUE(settle_media(prompt, "", 0));
  EXPECT_EQ(settle_media(prompt, "", 1).error().code, Errc::unsupported);
}

TEST(Media, ARawPromptNamesItsImages) {
  std::string prompt = "x [img-1] y [img-0][img-1] [img-] [img-a] [img-0";
  const auto placed = place_named_media(prompt, "<M>", {"first", "second", "third"});
  ASSERT_TRUE(placed);
  EXPECT_EQ(prompt, "<M>x <M> y <M><M> [img-] [img-a] [img-0");
  EXPECT_EQ(*placed, (Images{"third", "second", "first", "second"}));
}

TEST(Media, ARawPromptNamesNoOthersAndNotWithoutEnd) {
  for (const char* wrong : {"[img-2]", "[img-99999999999999999999999]"}) {
    std::string prompt = wrong;
    const auto placed = place_named_media(prompt, "<M>", {"first", "second"});
    ASSERT_FALSE(placed) << wrong;
    EXPECT_EQ(placed.error().code, Errc::invalid_argument);
  }
  std::string many;
  for (int i = 0; i < 1000; i++) many += "[img-0]";
  EXPECT_FALSE(place_named_media(many, "<M>", {"first"}));
}

TEST(Media, MarkersAreReplacedAndNamed) {
  std::string prompt = "<M>a<M>";
  EXPECT_EQ(with_named_media(prompt, "<M>"), "[img-0]a[img-1]");
  replace_media_markers(prompt, "<M>", "<MM><M>");
  EXPECT_EQ(prompt, "<MM><M>a<MM><M>");
  replace_media_markers(prompt, "", "x");
  EXPECT_EQ(prompt, "<MM><M>a<MM><M>");
}

}  // namespace
}  // namespace om::prompt
