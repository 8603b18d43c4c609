#include "peer/report_book.h"

#include <gtest/gtest.h>

namespace om::peer {
namespace {

constexpr size_t kNodes = 300;

std::shared_ptr<const std::vector<Digest>> fifty_files() {
  std::vector<Digest> blobs;
  for (int i = 0; i < 50; i++) blobs.push_back(Digest::of(std::to_string(i)));
  return std::make_shared<const std::vector<Digest>>(std::move(blobs));
}

cluster::View view_of(int reported, uint64_t memory_used) {
  static const auto kFiles = fifty_files();
  std::vector<cluster::NodeInfo> nodes(kNodes);
  for (size_t i = 0; i < kNodes; i++) {
    nodes[i].name = fmt::format("n{:03}", i);
    nodes[i].reported = io::TimePoint(std::chrono::seconds(reported));
    nodes[i].memory_used = memory_used;
    nodes[i].blobs = kFiles;
  }
  return cluster::View::of(std::move(nodes)).value();
}

TEST(ReportBook, IsReadInPieces) {
  ReportBook book;
  book.update(view_of(1, 1));
  std::string place, all;
  size_t pieces = 0;
  do {
    const std::string piece = book.changes_since(0, place);
    EXPECT_LT(piece.size(), ReportBook::kPieceBytes + (16 << 10)) << "it holds no whole book";
    all += piece;
    pieces++;
  } while (!place.empty());
  EXPECT_GT(pieces, 10U);
  EXPECT_EQ(std::ranges::count(all, '\n'), 2 * kNodes) << "a list of files and a report of each";
}

TEST(ReportBook, WhatChangesWhileItIsReadIsToldTheNextTime) {
  ReportBook book;
  book.update(view_of(1, 1));
  const uint64_t told = book.last_change();
  std::string place;
  (void)book.changes_since(0, place);
  EXPECT_FALSE(place.empty());
  book.update(view_of(2, 2));
  while (!place.empty()) (void)book.changes_since(0, place);
  std::string again;
  do again += book.changes_since(told, place);
  while (!place.empty());
  EXPECT_EQ(std::ranges::count(again, '\n'), kNodes) << "no list has changed";
}

}  // namespace
}  // namespace om::peer
