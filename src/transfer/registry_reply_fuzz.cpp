// Any bytes as what a registry or another node says of models and blobs: refused, or the same when
// it is written again; and a login is never sent elsewhere than to the registry.
#include <boost/json.hpp>

#include "base/check.h"
#include "base/strings.h"
#include "model/manifest.h"
#include "model/messages.h"
#include "model/name.h"
#include "transfer/auth.h"
#include "transfer/chunk_list.h"

namespace om::transfer {
namespace {

void read_manifest(std::string_view text) {
  const auto manifest = model::Manifest::parse(text);
  if (!manifest) return;
  const auto again = model::Manifest::parse(manifest->to_json());
  CHECK(again && again->layers.size() == manifest->layers.size());
  CHECK(again->config.digest == manifest->config.digest);
  for (size_t i = 0; i < manifest->layers.size(); i++) {
    const model::Layer &one = manifest->layers[i], &same = again->layers[i];
    CHECK(same.digest == one.digest && same.size == one.size && same.from == one.from);
    CHECK(same.media_type == one.media_type && manifest->find(one.kind()) != nullptr);
    CHECK(manifest->total_size() >= one.size);
  }
}

void read_config(std::string_view text) {
  const auto config = model::Config::parse(text);
  if (!config) return;
  const auto again = model::Config::parse(config->to_json());
  CHECK(again && again->model_format == config->model_format);
  CHECK(again->model_families == config->model_families);
  CHECK(again->capabilities == config->capabilities && again->renderer == config->renderer);
  CHECK(again->context_length == config->context_length);
  // What we do not know is kept, beside what is always written.
  for (const auto& [key, value] : config->other) CHECK(again->other.contains(key));
}

void read_messages(std::string_view text) {
  const auto messages = model::parse_messages(text);
  if (!messages) return;
  const auto again = model::parse_messages(model::messages_to_json(*messages));
  CHECK(again && again->size() == messages->size());
  for (size_t i = 0; i < messages->size(); i++) {
    const model::Message &one = (*messages)[i], &same = (*again)[i];
    CHECK(same.role == one.role && same.content == one.content && same.images == one.images);
    CHECK(same.thinking == one.thinking && same.tool_call_id == one.tool_call_id);
    CHECK(same.tool_calls.size() == one.tool_calls.size());
    for (const model::ToolCall& call : same.tool_calls) {
      boost::system::error_code failed;
      CHECK(boost::json::parse(call.arguments, failed).is_object() && !failed);
    }
  }
}

void read_name(std::string_view text) {
  const auto name = model::Name::parse(text);
  if (!name) return;
  for (const std::string* part : {&name->host, &name->name_space, &name->model, &name->tag}) {
    // Each becomes a part of a path.
    CHECK(!part->empty() && *part != "." && *part != "..");
    CHECK(part->find_first_of(std::string_view("/\\\0", 3)) == std::string::npos);
  }
  const auto again = model::Name::parse(name->str());
  CHECK(again && *again == *name);
  const auto shortest = model::Name::parse(name->shortest());
  CHECK(shortest && *shortest == *name);
}

void read_challenge(std::string_view text) {
  const auto token = parse_token(text);
  CHECK(!token || !token->empty());
  const auto challenge = Challenge::parse(text);
  if (!challenge) return;
  CHECK(!challenge->realm.empty());
  const auto registry = http::Url::parse("https://registry.test/v2/library/a/");
  const auto url = token_url(*challenge, *registry, io::WallTime{}, "nonce");
  if (!url) return;
  CHECK(url->scheme == "https" && iequals(url->host, "registry.test"));
  CHECK(url->target.ends_with("nonce=nonce"));
  const auto again = http::Url::parse(url->str());
  CHECK(again && again->target == url->target && again->port == url->port);
}

void read_chunks(std::string_view text) {
  if (const auto offer = Offer::parse(text)) {
    for (const auto& [chunk, digest] : offer->chunks) CHECK(chunk < chunks_of(offer->size));
    const auto again = Offer::parse(offer->to_json());
    CHECK(again && again->size == offer->size && again->whole == offer->whole);
    CHECK(again->known == offer->known && again->chunks == offer->chunks);
  }
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{40'000'000}}) {
    const auto list = ChunkList::parse(text, size);
    if (!list) continue;
    CHECK(list->size() == size && list->known() <= list->count());
    CHECK(list->count() * kChunkBytes >= size);
    const auto again = ChunkList::parse(list->to_text(), size);
    CHECK(again && again->order() == list->order());
    for (const uint32_t chunk : list->order()) CHECK(again->digest(chunk) == list->digest(chunk));
  }
}

}  // namespace
}  // namespace om::transfer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace om::transfer;  // NOLINT: one function.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_manifest(text);
  read_config(text);
  read_messages(text);
  read_name(text);
  read_challenge(text);
  read_chunks(text);
  return 0;
}
