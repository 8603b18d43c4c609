#include "api/ollama_handlers.h"

namespace om::api {
namespace {

Result<Digest> digest_of(const Context& context) {
  const auto digest = Digest::parse(context.parameter("digest"));
  if (!digest) return fail(Errc::invalid_argument, "invalid digest format");
  return *digest;
}

}  // namespace

HandlerResult handle_blob_head(const Dependencies& dependencies, Context& context) {
  CO_TRY(const Digest digest, digest_of(context));
  const auto size = dependencies.store.blob_size(digest);
  if (!size) co_return fail(Errc::not_found, "blob \"{}\" not found", digest.str());
  co_await dependencies.store.keep_upload(digest);
  co_return co_await context.send(200, {}, {});
}

// The bytes go straight into the store; they appear under their name only if the digest is right.
HandlerResult handle_blob_post(const Dependencies& dependencies, Context& context) {
  CO_TRY(const Digest digest, digest_of(context));
  if (dependencies.store.blob_size(digest)) {
    co_await dependencies.store.keep_upload(digest);
    co_return co_await context.send(200, {}, {});
  }
  CO_TRY(const auto writer, co_await dependencies.store.write_blob());
  while (true) {
    CO_TRY(std::string data, co_await context.body.read_some());
    if (data.empty()) break;
    CO_TRY_VOID(co_await writer->write(std::move(data)));
  }
  auto stored = co_await writer->finish(digest);
  if (!stored) {
    if (stored.error().code == Errc::corrupt) context.error_status = 400;
    co_return fail(std::move(stored).error());
  }
  co_return co_await context.send(201, {}, {});
}

}  // namespace om::api
