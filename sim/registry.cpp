#include "sim/registry.h"

#include <algorithm>
#include <cstdio>

namespace om::sim {
namespace {

http::ServerLimits limits() {
  http::ServerLimits limits;
  limits.body_bytes_max = uint64_t{1} << 30;
  return limits;
}

http::Handler handler_of(auto* self, auto method) {
  return [self, method](http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response) {
    return (self->*method)(request, body, response);
  };
}

std::optional<std::pair<uint64_t, uint64_t>> parse_range(std::string_view text) {
  unsigned long long first = 0, last = 0;
  if (std::sscanf(std::string(text).c_str(), "bytes=%llu-%llu", &first, &last) != 2) return {};
  return std::pair<uint64_t, uint64_t>(first, last);
}

}  // namespace

SimRegistry::SimRegistry(io::World& world, io::Endpoint at)
    : world_(world),
      server_(world, limits(), handler_of(this, &SimRegistry::serve)),
      signed_(world, limits(), handler_of(this, &SimRegistry::serve_signed)) {
  main_ = server_.listen(at).value();
  if (at.port != 0) at.port++;
  signed_at_ = signed_.listen(at).value();
}

io::Task<void> SimRegistry::stop() {
  co_await server_.stop(std::chrono::seconds(0));
  co_await signed_.stop(std::chrono::seconds(0));
}

std::string SimRegistry::add_model(const std::string& model,
                                   const std::vector<std::string>& layers) {
  model::Manifest manifest;
  const std::string config = "{\"model_format\":\"gguf\",\"for\":\"" + model + "\"}";
  manifest.config = {std::string(model::kConfigMediaType), Digest::of(config), config.size(), ""};
  blobs[Digest::of(config).str()] = config;
  for (const std::string& layer : layers) {
    manifest.layers.push_back(
        {std::string(model::kLayerMediaPrefix) + "license", Digest::of(layer), layer.size(), ""});
    blobs[Digest::of(layer).str()] = layer;
  }
  // Unusual spacing: the bytes must be kept as they are.
  std::string bytes = " " + manifest.to_json();
  manifests["test/" + model + ":latest"] = bytes;
  return bytes;
}

size_t SimRegistry::count(std::string_view start) const {
  return static_cast<size_t>(std::count_if(
      log.begin(), log.end(), [start](const auto& line) { return line.starts_with(start); }));
}

io::Task<void> SimRegistry::send(http::ResponseWriter& response, int status, std::string text) {
  (void)co_await response.send(status, "application/json", std::move(text));
}

io::Task<void> SimRegistry::serve(http::Request& request, http::BodyReader& body,
                                  http::ResponseWriter& response) {
  log.push_back(request.method + " " + request.path);
  if (request.path == "/token") {
    const bool is_signed = request.headers.get("Authorization").find(':') != std::string::npos;
    co_await send(response, is_signed ? 200 : 403, "{\"token\":\"let-me-in\"}");
    co_return;
  }
  if (faults.auth && request.headers.get("Authorization") != "Bearer let-me-in") {
    const std::string realm = faults.realm_host.empty() ? host() : faults.realm_host;
    response.headers().set("WWW-Authenticate",
                           "Bearer realm=\"http://" + realm +
                               "/token\",service=\"test\",scope=\"repository:test/m:pull,push\"");
    co_await send(response, 401, "{\"errors\":[{\"message\":\"authentication required\"}]}");
    co_return;
  }
  const size_t digest_at = request.path.find("sha256:");
  const bool is_upload = request.path.find("/uploads/") != std::string::npos;
  if (is_upload) {
    co_await serve_upload(request, body, response);
  } else if (digest_at != std::string::npos) {
    const std::string digest = request.path.substr(digest_at);
    if (faults.refusals_left > 0) {
      faults.refusals_left--;
      co_await send(response, 503, "busy");
    } else if (faults.redirect && request.method == "GET") {
      response.headers().set("Location", "http://" + signed_at_.str() + "/signed/" + digest);
      co_await send(response, 307, "");
    } else {
      co_await send_blob(request, response, digest);
    }
  } else {
    const size_t at = request.path.find("/manifests/");
    const std::string name = request.path.substr(4, at - 4) + ":" + request.path.substr(at + 11);
    if (request.method == "PUT") {
      manifests[name] = (co_await body.read_all(1 << 20)).value_or("");
      co_await send(response, 201, "");
    } else if (manifests.contains(name)) {
      co_await send(response, 200, manifests[name]);
    } else {
      co_await send(response, 404, "{\"errors\":[{\"message\":\"manifest unknown\"}]}");
    }
  }
}

io::Task<void> SimRegistry::serve_signed(http::Request& request, http::BodyReader& body,
                                         http::ResponseWriter& response) {
  log.push_back("SIGNED " + request.method + " " + request.path);
  if (request.headers.has("Authorization")) signed_host_saw_login = true;
  if (request.method == "PUT") {
    *sessions_[request.path.substr(5)] += (co_await body.read_all(1 << 30)).value_or("");
    co_await send(response, 201, "");
    co_return;
  }
  co_await send_blob(request, response, request.path.substr(8));
}

io::Task<void> SimRegistry::send_blob(http::Request& request, http::ResponseWriter& response,
                                      std::string_view digest) {
  const auto found = blobs.find(std::string(digest));
  if (found == blobs.end()) {
    co_await send(response, 404, "{\"errors\":[{\"message\":\"blob unknown\"}]}");
    co_return;
  }
  std::string data = found->second;
  if (request.method == "HEAD") {
    (void)co_await response.send(200, "application/octet-stream", "");
    co_return;
  }
  const auto range = parse_range(request.headers.get("Range"));
  uint64_t first = 0, end = data.size();
  int status = 200;
  if (faults.ranges && range) {
    status = 206;
    const uint64_t size = data.size() + (faults.lie_about_size ? 1 : 0);
    response.headers().set("Content-Range",
                           fmt::format("bytes {}-{}/{}", range->first, range->second, size));
    first = range->first;
    end = std::min(end, range->second + 1);
  }
  Drawn& note = drawn[{request.peer.substr(0, request.peer.rfind(':')), found->first}];
  note.requests++;
  const size_t middle = data.size() / 2;
  if (faults.wrong_bytes) data[middle] ^= 1;
  if (faults.wrong_bytes && first <= middle && middle < end) note.wrong++;
  data = data.substr(first, end - first);
  std::optional<uint64_t> length;
  if (!faults.endless) length = data.size();
  if (faults.endless) data += std::string(3 << 20, 'e');
  if (!co_await response.start(status, "application/octet-stream", length)) co_return;
  co_await write_body(request, response, std::move(data), end - first, note);
}

io::Task<void> SimRegistry::write_body(http::Request& request, http::ResponseWriter& response,
                                       std::string data, uint64_t own, Drawn& note) {
  constexpr size_t kPiece = 64 * 1024;
  const bool stall = faults.stalls_left > 0, cut = faults.cut_after > 0 && faults.cuts_left > 0;
  if (stall) faults.stalls_left--;
  if (cut) faults.cuts_left--;
  for (size_t at = 0; at < data.size(); at += kPiece) {
    if (stall && at > 0) {
      (void)co_await world_.clock.sleep_for(std::chrono::hours(1), {io::kNever, request.cancel});
      co_return;
    }
    if (cut && at >= faults.cut_after) co_return;  // An unfinished answer closes the connection.
    const auto piece = std::string_view(data).substr(at, kPiece);
    if (!co_await response.write(piece)) co_return;
    blob_bytes_sent += piece.size();
    note.bytes += std::min<uint64_t>(piece.size(), own - std::min<uint64_t>(at, own));
    if (faults.bytes_per_second == 0) continue;
    const std::chrono::nanoseconds pause(piece.size() * 1'000'000'000 / faults.bytes_per_second);
    (void)co_await world_.clock.sleep_for(pause, {io::kNever, request.cancel});
  }
  (void)co_await response.finish();
}

void SimRegistry::point_to(http::ResponseWriter& response, const std::string& id) {
  const size_t size = sessions_.at(id)->size();
  const auto location =
      fmt::format("http://{}/v2/test/m/blobs/uploads/{}?state={}", host(), id, size);
  response.headers().set("Location", location);
  response.headers().set("Range", fmt::format("0-{}", std::max<size_t>(size, 1) - 1));
}

io::Task<void> SimRegistry::start_upload(http::Request& request, http::ResponseWriter& response) {
  const std::string id = std::to_string(log.size());
  sessions_[id] = std::make_shared<std::string>();
  point_to(response, id);
  const std::string mount(request.query_value("mount"));
  co_await send(response, blobs.contains(mount) ? 201 : 202, "");
}

// What of it comes; false: it breaks before its end.
io::Task<bool> SimRegistry::receive_part(http::Request& request, http::BodyReader& body,
                                         std::shared_ptr<std::string> data) {
  while (true) {
    const auto piece = co_await body.read_some();
    if (!piece) co_return false;
    if (piece->empty()) co_return true;
    *data += *piece;
    upload_bytes_received += piece->size();
    since_cut_ += piece->size();
    if (faults.cut_uploads_every > 0 && faults.upload_cuts_left > 0 &&
        since_cut_ >= faults.cut_uploads_every) {
      faults.upload_cuts_left--;
      since_cut_ = 0;
      co_return false;
    }
    if (faults.upload_bytes_per_second > 0) {
      const std::chrono::nanoseconds pause(piece->size() * 1'000'000'000 /
                                           faults.upload_bytes_per_second);
      (void)co_await world_.clock.sleep_for(pause, {io::kNever, request.cancel});
    }
    if (faults.upload_stalls_left == 0) continue;
    faults.upload_stalls_left--;
    (void)co_await world_.clock.sleep_for(std::chrono::hours(1), {io::kNever, request.cancel});
    co_return false;
  }
}

io::Task<void> SimRegistry::serve_upload(http::Request& request, http::BodyReader& body,
                                         http::ResponseWriter& response) {
  if (request.method == "POST") {
    co_await start_upload(request, response);
    co_return;
  }
  if (request.method == "PATCH" && (faults.refuse_patch || faults.upload_refusals_left > 0)) {
    if (!faults.refuse_patch) faults.upload_refusals_left--;
    co_await send(response, faults.refuse_patch ? 405 : 503, "");
    co_return;
  }
  const std::string id = request.path.substr(request.path.rfind('/') + 1);
  const auto session = sessions_.find(id);
  if (session != sessions_.end() && faults.broken == RegistryFaults::Broken::loses_all &&
      request.query_value("state") != std::to_string(session->second->size())) {
    sessions_.erase(session);
  }
  if (!sessions_.contains(id)) {
    co_await send(response, 404, "{\"errors\":[{\"message\":\"blob upload unknown\"}]}");
    co_return;
  }
  if (request.method == "GET") {
    point_to(response, id);
    co_await send(response, 204, "");
    co_return;
  }
  co_await take_part(request, body, response, id);
}

io::Task<void> SimRegistry::take_part(http::Request& request, http::BodyReader& body,
                                      http::ResponseWriter& response, const std::string& id) {
  const auto session = sessions_.at(id);
  const size_t had = session->size();
  const auto range = request.headers.get("Content-Range");
  if (request.method == "PATCH" && !faults.redirect_uploads &&
      !range.starts_with(fmt::format("{}-", had))) {
    co_await send(response, 416, "");
    co_return;
  }
  uploads_at_once = std::max(uploads_at_once, ++parts_under_way_);
  const bool keeps_bytes =
      faults.broken != RegistryFaults::Broken::keeps_parts && !faults.redirect_uploads;
  const auto data = keeps_bytes ? session : std::make_shared<std::string>();
  const bool whole = co_await receive_part(request, body, data);
  parts_under_way_--;
  if (request.method == "PATCH" && faults.redirect_uploads) {
    point_to(response, id);
    response.headers().set("Docker-Upload-Location", response.headers().get("Location"));
    response.headers().set("Location", "http://" + signed_at_.str() + "/put/" + id);
    co_await send(response, 307, "");
    co_return;
  }
  if (whole && !keeps_bytes) *session += *data;
  const bool is_lost = request.method == "PATCH" && faults.lost_answers_left > 0;
  if (is_lost) faults.lost_answers_left--;
  if (!whole || is_lost) {
    (void)co_await response.start(202, "text/plain", 1);  // Unfinished: the connection is closed.
    co_return;
  }
  std::string& upload = *session;
  if (faults.spoilt_at < upload.size()) {
    upload[faults.spoilt_at] ^= 1;
    faults.spoilt_at = ~uint64_t{};
  }
  if (request.method == "PATCH") {
    point_to(response, id);
    co_await send(response, 202, "");
    co_return;
  }
  const auto digest = http::percent_decode(request.query_value("digest")).value_or("");
  const bool fits = digest == Digest::of(upload).str();
  const bool refused = digest == faults.refused_upload;
  if (fits && !refused) blobs[digest] = upload;
  sessions_.erase(id);
  if (refused) {
    co_await send(response, 403, "denied\n");
  } else {
    co_await send(response, fits ? 201 : 400, fits ? "" : "digest invalid");
  }
}

}  // namespace om::sim
