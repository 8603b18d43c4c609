#include "transfer/chunk_list.h"

#include <boost/json.hpp>

#include "base/check.h"
#include "base/strings.h"

namespace om::transfer {
namespace {

constexpr std::string_view kHead = "ollamamax-chunks 1";

std::string head_of(uint64_t size) { return fmt::format("{} {} {}\n", kHead, size, kChunkBytes); }

std::unexpected<Error> malformed() { return fail(Errc::corrupt, "a malformed list of chunks"); }

Result<uint64_t> number_of(const boost::json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr) return malformed();
  boost::system::error_code error;
  const auto number = value->to_number<uint64_t>(error);
  if (error) return malformed();
  return number;
}

Result<std::pair<uint32_t, Digest>> chunk_of(const boost::json::value& value, size_t count) {
  const auto* pair = value.if_array();
  if (pair == nullptr || pair->size() != 2 || !(*pair)[1].is_string()) return malformed();
  boost::system::error_code error;
  const auto index = (*pair)[0].to_number<uint32_t>(error);
  if (error || index >= count) return malformed();
  TRY(const auto digest, Digest::parse("sha256:" + std::string((*pair)[1].get_string())));
  return std::pair(index, digest);
}

}  // namespace

void ChunkList::set(size_t chunk, const Digest& digest) {
  CHECK(chunk < digests_.size() && !digests_[chunk], "a chunk's digest is set twice");
  digests_[chunk] = digest;
  order_.push_back(static_cast<uint32_t>(chunk));
}

std::string ChunkList::to_text() const {
  std::string text = head_of(size_);
  for (const uint32_t chunk : order_) text += fmt::format("{} {}\n", chunk, digests_[chunk]->hex());
  return text;
}

Result<ChunkList> ChunkList::parse(std::string_view text, uint64_t size) {
  const std::string head = head_of(size);
  if (!text.starts_with(head)) return malformed();
  text.remove_prefix(head.size());
  ChunkList list(size);
  while (!text.empty()) {
    const size_t end = text.find('\n'), space = text.find(' ');
    const auto chunk = parse_number<size_t>(text.substr(0, space));
    if (end == text.npos || space > end || !chunk) return malformed();
    const auto hex = text.substr(space + 1, end - space - 1);
    const auto digest = Digest::parse("sha256:" + std::string(hex));
    if (!digest || *chunk >= list.count() || list.digests_[*chunk]) return malformed();
    list.set(*chunk, *digest);
    text.remove_prefix(end + 1);
  }
  return list;
}

Offer Offer::of(const ChunkList& list, size_t after, bool whole) {
  Offer offer{.size = list.size(), .whole = whole, .known = std::min(after, list.known())};
  while (offer.known < list.known() && offer.chunks.size() < kChunksPerOfferMax) {
    const uint32_t chunk = list.order()[offer.known++];
    offer.chunks.emplace_back(chunk, *list.digest(chunk));
  }
  return offer;
}

std::string Offer::to_json() const {
  std::string text =
      fmt::format("{{\"size\":{},\"whole\":{},\"known\":{},\"chunks\":[", size, whole, known);
  for (const auto& [chunk, digest] : chunks) {
    if (text.back() == ']') text += ',';
    text += fmt::format("[{},\"{}\"]", chunk, digest.hex());
  }
  return text + "]}";
}

Result<Offer> Offer::parse(std::string_view json) {
  boost::system::error_code error;
  const auto value = boost::json::parse(json, error);
  if (error || !value.is_object()) return malformed();
  const auto& object = value.get_object();
  Offer offer;
  TRY(offer.size, number_of(object, "size"));
  TRY(offer.known, number_of(object, "known"));
  const auto* whole = object.if_contains("whole");
  const auto* chunks = object.if_contains("chunks");
  if (whole == nullptr || !whole->is_bool() || chunks == nullptr || !chunks->is_array()) {
    return malformed();
  }
  offer.whole = whole->get_bool();
  const size_t count = chunks_of(offer.size);
  if (count > kChunksMax || offer.known > count || chunks->get_array().size() > count) {
    return malformed();
  }
  for (const auto& entry : chunks->get_array()) {
    TRY(auto chunk, chunk_of(entry, count));
    offer.chunks.push_back(chunk);
  }
  return offer;
}

}  // namespace om::transfer
