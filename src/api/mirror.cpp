#include "api/mirror.h"

#include <algorithm>
#include <list>

#include "api/api.h"
#include "api/json_output.h"
#include "api/metrics.h"
#include "base/strings.h"
#include "http/range.h"
#include "transfer/distribution.h"

namespace om::api {
namespace {

constexpr size_t kPathPartsMax = 3;

bool same_repository(const MirrorPath& path, const model::Name& name) {
  return iequals(path.name_space, name.name_space) && iequals(path.model, name.model) &&
         (path.host.empty() || iequals(path.host, name.host));
}

std::optional<uint64_t> size_of_blob(const model::Manifest& manifest, const Digest& digest) {
  if (manifest.config.digest == digest) return manifest.config.size;
  const auto found = std::ranges::find(manifest.layers, digest, &model::Layer::digest);
  if (found == manifest.layers.end()) return std::nullopt;
  return found->size;
}

model::Name name_of(const MirrorPath& path) {
  model::Name name;
  if (!path.host.empty()) name.host = path.host;
  name.name_space = path.name_space;
  name.model = path.model;
  name.tag = path.reference;
  return name;
}

io::Task<Result<void>> refuse(Context& context, std::string_view code, std::string_view message) {
  std::string body;
  JsonWriter writer(body);
  writer.begin_object().key("errors").begin_array().begin_object();
  writer.member("code", code).member("message", message);
  writer.end_object().end_array().end_object();
  co_return co_await context.send(404, "application/json; charset=utf-8", std::move(body));
}

// Answers the mirror's requests out of the store, and for blobs that only other nodes have, from
// them. Only what a visible model names is given out.
class Mirror {
 public:
  explicit Mirror(const Dependencies& dependencies) : dependencies_(dependencies) {}

  io::Task<Result<void>> handle(Context& context);

 private:
  // Where the last asked blobs were found: a pull asks for each of them many times.
  struct Known {
    std::string repository;
    Digest digest;
    model::Name name;
  };
  static constexpr size_t kKnownMax = 64;

  io::Task<Result<store::StoredManifest>> find_manifest(MirrorPath path);
  // Its size, if a model that can be seen names it.
  io::Task<std::optional<uint64_t>> find_blob(MirrorPath path, Digest digest);
  io::Task<Result<void>> send_manifest(Context& context, MirrorPath path);
  io::Task<Result<void>> send_blob(Context& context, MirrorPath path);
  io::Task<Result<void>> send_bytes(Context& context, Digest digest, uint64_t size);

  const Dependencies& dependencies_;
  std::list<Known> known_;  // The last found first.
};

io::Task<Result<store::StoredManifest>> Mirror::find_manifest(MirrorPath path) {
  store::Store& store = dependencies_.store;
  const auto digest = Digest::parse(path.reference);
  if (!digest) {
    auto found = store.find(name_of(path));
    if (found || !path.host.empty()) co_return found;
  }
  CO_TRY(const auto stored, co_await store.list());  // The newest first.
  for (const store::StoredManifest& candidate : stored) {
    if (!same_repository(path, candidate.name)) continue;
    const bool fits =
        digest ? candidate.digest == *digest : iequals(candidate.name.tag, path.reference);
    if (fits) co_return candidate;
  }
  co_return fail(Errc::not_found, "manifest unknown");
}

io::Task<std::optional<uint64_t>> Mirror::find_blob(MirrorPath path, Digest digest) {
  store::Store& store = dependencies_.store;
  const std::string repository = path.host + "/" + path.name_space + "/" + path.model;
  const auto known = std::ranges::find_if(known_, [&](const Known& entry) {
    return entry.digest == digest && entry.repository == repository;
  });
  if (known != known_.end()) {
    const auto stored = store.find(known->name);  // It may have been removed since.
    const auto size = stored ? size_of_blob(stored->manifest, digest) : std::nullopt;
    if (size) co_return size;
    known_.erase(known);
  }
  const auto stored = co_await store.list();
  if (!stored) co_return std::nullopt;
  const auto found = std::ranges::find_if(*stored, [&](const store::StoredManifest& candidate) {
    return same_repository(path, candidate.name) && size_of_blob(candidate.manifest, digest);
  });
  if (found == stored->end()) co_return std::nullopt;
  known_.push_front({repository, digest, found->name});
  if (known_.size() > kKnownMax) known_.pop_back();
  co_return size_of_blob(found->manifest, digest);
}

io::Task<Result<void>> Mirror::send_manifest(Context& context, MirrorPath path) {
  if (!Digest::parse(path.reference)) co_await dependencies_.store.learn(name_of(path));
  const auto found = co_await find_manifest(path);
  if (!found) co_return co_await refuse(context, "MANIFEST_UNKNOWN", "manifest unknown");
  context.model = found->name.shortest();
  CO_TRY(std::string bytes, dependencies_.store.read_manifest(found->name));
  const std::string digest = Digest::of(bytes).str();
  context.response.headers().set("Docker-Content-Digest", digest);
  context.response.headers().set("ETag", "\"" + digest + "\"");
  co_return co_await context.send(200, std::string(model::kManifestMediaType), std::move(bytes));
}

io::Task<Result<void>> Mirror::send_bytes(Context& context, Digest digest, uint64_t size) {
  http::FileToSend file;
  file.path = dependencies_.store.blob_path(digest);
  file.etag = "\"" + digest.str() + "\"";
  auto sent =
      co_await http::send_file(dependencies_.world, context.request, context.response, file);
  const bool is_elsewhere = !sent && sent.error().code == Errc::not_found &&
                            !context.response.started() && dependencies_.distribution != nullptr;
  if (!is_elsewhere) co_return sent;
  context.response.headers().set("ETag", file.etag);
  co_return co_await dependencies_.distribution->relay().send(context.request, context.response,
                                                              digest, size);
}

io::Task<Result<void>> Mirror::send_blob(Context& context, MirrorPath path) {
  const auto digest = Digest::parse(path.reference);
  std::optional<uint64_t> size;
  if (digest) size = co_await find_blob(path, *digest);
  if (!size) {
    co_return co_await refuse(context, "BLOB_UNKNOWN", "blob unknown to registry");
  }
  http::Headers& headers = context.response.headers();
  headers.set("Docker-Content-Digest", digest->str());
  // Ollama follows this header of a blob's first answer and fails without it.
  headers.set("Location", context.request.path);
  context.status = context.request.headers.has("Range") ? 206 : 200;
  const auto sent = co_await send_bytes(context, *digest, *size);
  if (!sent && sent.error().code == Errc::not_found && !context.response.started()) {
    for (const std::string_view name : {"Location", "ETag", "Accept-Ranges", "Content-Range"}) {
      headers.remove(name);
    }
    co_return co_await refuse(context, "BLOB_UNKNOWN", "blob unknown to registry");
  }
  if (!sent && context.response.started()) {
    // Nothing can be told in the middle of a blob: the connection ends, and the client sees that.
    context.status = 499;
    co_return Result<void>{};
  }
  co_return sent;
}

io::Task<Result<void>> Mirror::handle(Context& context) {
  auto path = MirrorPath::parse(context.parameter("path"));
  if (!path) co_return co_await refuse(context, "NAME_UNKNOWN", "repository name not known");
  if (path->kind == MirrorPath::Kind::blob) co_return co_await send_blob(context, *path);
  co_return co_await send_manifest(context, *path);
}

io::Task<Result<void>> handle_version_check(Context& context) {
  context.response.headers().set("Docker-Distribution-API-Version", "registry/2.0");
  co_return co_await context.send(200, "application/json", "{}");
}

}  // namespace

Result<MirrorPath> MirrorPath::parse(std::string_view path) {
  const auto unknown = [] { return fail(Errc::not_found, "404 page not found"); };
  std::vector<std::string> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.emplace_back(path.substr(0, slash));
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  if (parts.size() < 3 || parts.size() > kPathPartsMax + 2) return unknown();
  MirrorPath parsed;
  parsed.reference = std::move(parts.back());
  parts.pop_back();
  if (parts.back() == "blobs") {
    parsed.kind = Kind::blob;
  } else if (parts.back() != "manifests") {
    return unknown();
  }
  parts.pop_back();
  parsed.model = std::move(parts.back());
  parts.pop_back();
  parsed.name_space = parts.empty() ? "library" : std::move(parts.back());
  if (!parts.empty()) parts.pop_back();
  if (!parts.empty()) parsed.host = std::move(parts.back());
  const bool by_digest = Digest::parse(parsed.reference).has_value();
  if (parsed.kind == Kind::blob && !by_digest) return unknown();
  model::Name name = name_of(parsed);
  if (by_digest) name.tag = "latest";
  const auto checked = model::Name::parse(name.str());
  if (!checked || *checked != name) return unknown();
  return parsed;
}

void register_mirror(Router& router, const Dependencies& dependencies) {
  const auto mirror = std::make_shared<Mirror>(dependencies);
  for (const std::string_view method : {"GET", "HEAD"}) {
    for (const std::string_view root : {"/v2", "/v2/"}) {
      router.add(method, root, ErrorShape::ollama, handle_version_check);
    }
    router.add(method, "/v2/*path", ErrorShape::ollama,
               [mirror](Context& context) { return mirror->handle(context); });
  }
}

}  // namespace om::api
