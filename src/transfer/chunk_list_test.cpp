#include "transfer/chunk_list.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace om::transfer {
namespace {

TEST(ChunkList, CutsABlobIntoPiecesOfSixteenMegabytes) {
  EXPECT_EQ(ChunkList(0).count(), 0U);
  EXPECT_EQ(ChunkList(1).count(), 1U);
  EXPECT_EQ(ChunkList(kChunkBytes).count(), 1U);
  EXPECT_EQ(ChunkList(kChunkBytes + 1).count(), 2U);
  EXPECT_EQ(chunk_length(kChunkBytes + 1, 0), kChunkBytes);
  EXPECT_EQ(chunk_length(kChunkBytes + 1, 1), 1U);
}

// Whatever is known in whatever order survives a file and any way of asking in steps.
RC_GTEST_PROP(ChunkList, SurvivesAFileAndIsToldInSteps, ()) {
  const auto size = *rc::gen::inRange<uint64_t>(1, 40 * kChunkBytes);
  ChunkList list(size);
  const auto chunks = *rc::gen::unique<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 40));
  for (const size_t chunk : chunks) {
    if (chunk < list.count()) list.set(chunk, Digest::of(std::to_string(chunk)));
  }
  const auto parsed = ChunkList::parse(list.to_text(), size);
  RC_ASSERT(parsed.has_value());
  RC_ASSERT(parsed->order() == list.order());
  RC_ASSERT(!ChunkList::parse(list.to_text(), size + 1));

  const auto after = *rc::gen::inRange<size_t>(0, list.known() + 1);
  const auto offer = Offer::parse(Offer::of(list, after, true).to_json());
  RC_ASSERT(offer.has_value());
  RC_ASSERT(offer->size == size && offer->whole && offer->known == list.known());
  RC_ASSERT(offer->chunks.size() == list.known() - after);
  for (size_t i = 0; i < offer->chunks.size(); i++) {
    RC_ASSERT(offer->chunks[i].first == list.order()[after + i]);
    RC_ASSERT(offer->chunks[i].second == *list.digest(offer->chunks[i].first));
  }
}

TEST(Offer, RefusesWhatIsMalformedOrOutsideTheBlob) {
  const std::string hex = Digest::of("x").hex();
  const std::vector<std::string> malformed = {
      std::string("{}"),
      std::string("[]"),
      std::string("nonsense"),
      std::string(R"({"size":-1,"whole":true,"known":0,"chunks":[]})"),
      std::string(R"({"size":5,"whole":1,"known":0,"chunks":[]})"),
      std::string(R"({"size":5,"whole":true,"known":2,"chunks":[]})"),
      R"({"size":5,"whole":true,"known":1,"chunks":[[1,")" + hex + "\"]]}",
      R"({"size":5,"whole":true,"known":1,"chunks":[[0,"12"]]})",
      R"({"size":5,"whole":true,"known":1,"chunks":[[0]]})",
      std::string(R"({"size":99999999999999999,"whole":true,"known":1,"chunks":[]})")};
  for (const std::string& text : malformed) {
    EXPECT_FALSE(Offer::parse(text)) << text;
  }
  EXPECT_TRUE(Offer::parse(R"({"size":5,"whole":true,"known":1,"chunks":[[0,")" + hex + "\"]]}"));
}

TEST(ChunkList, RefusesADamagedFile) {
  ChunkList list(3 * kChunkBytes);
  list.set(1, Digest::of("x"));
  const std::string text = list.to_text();
  EXPECT_TRUE(ChunkList::parse(text, list.size()));
  EXPECT_FALSE(ChunkList::parse(text + "1 " + Digest::of("y").hex() + "\n", list.size()));
  EXPECT_FALSE(ChunkList::parse(text + "3 " + Digest::of("y").hex() + "\n", list.size()));
  EXPECT_FALSE(ChunkList::parse(text.substr(0, text.size() - 1), list.size()));
  EXPECT_FALSE(ChunkList::parse("", list.size()));
}

}  // namespace
}  // namespace om::transfer
