#include "transfer/upload.h"

#include "base/log.h"
#include "transfer/file_body.h"

namespace om::transfer {
namespace {

constexpr uint64_t kReplyBytesMax = 64 * 1024;
constexpr std::chrono::seconds kAnswerIdleMax{
    120};  // A registry may hash a part before it answers.

using Response = std::unique_ptr<http::ClientResponse>;

bool accepted(int status) { return status >= 200 && status < 300; }

// One upload session of one layer.
class Upload {
 public:
  Upload(Registry& registry, const model::Layer& layer, io::File& file, UploadProgress& progress,
         io::Call call)
      : registry_(registry),
        layer_(layer),
        file_(file),
        progress_(progress),
        call_(std::move(call)) {}

  io::Task<Result<void>> run(bool monolithic) {
    CO_TRY(const bool mounted, co_await start());
    if (mounted) co_return Result<void>{};
    progress_.restart_at(0);
    if (!monolithic) {
      CO_TRY_VOID(co_await send_parts());
    }
    co_return co_await commit(monolithic);
  }
  bool patch_refused() const { return patch_refused_; }

 private:
  // True if the registry had the blob in another repository and mounted it.
  io::Task<Result<bool>> start() {
    http::Url url = registry_.url("blobs/uploads/");
    const auto from = model::Name::parse(layer_.from);
    if (!layer_.from.empty() && from) {
      url.target +=
          fmt::format("?mount={}&from={}/{}", layer_.digest.str(), from->name_space, from->model);
    }
    auto request = http::ClientRequest::to("POST", url);
    request.repeatable = true;  // An upload that nobody goes on with expires.
    CO_TRY(auto response, co_await registry_.send(std::move(request), call_));
    if (!accepted(response->status())) co_return fail(co_await refusal(std::move(response)));
    if (response->status() == 201) co_return true;
    CO_TRY_VOID(go_on_at(url, *response));
    (void)co_await response->read_all(kReplyBytesMax);  // Only to keep the connection.
    co_return false;
  }

  Result<void> go_on_at(const http::Url& base, const http::ClientResponse& response) {
    auto location = response.headers().get("Docker-Upload-Location");
    if (location.empty()) location = response.headers().get("Location");
    if (location.empty()) return fail(Errc::unavailable, "the registry names no upload location");
    TRY(location_, registry_.resolve(base, location));
    return {};
  }

  io::Task<Result<void>> send_parts() {
    const uint64_t part_bytes = std::clamp(layer_.size / 16, kPartBytesMin, kPartBytesMax);
    for (uint64_t offset = 0; offset < layer_.size; offset += part_bytes) {
      const uint64_t length = std::min(part_bytes, layer_.size - offset);
      CO_TRY_VOID(co_await send_part(offset, length));
    }
    co_return Result<void>{};
  }

  io::Task<Result<void>> send_part(uint64_t offset, uint64_t length) {
    const http::Url at = location_;
    CO_TRY(auto response, co_await send_bytes("PATCH", at, offset, length));
    const int status = response->status();
    if (status == 404 || status == 405 || status == 501) patch_refused_ = true;
    if (status == 307) {
      // The registry wants these bytes in an object store.
      CO_TRY(const auto elsewhere, registry_.resolve(at, response->headers().get("Location")));
      CO_TRY_VOID(go_on_at(at, *response));
      (void)co_await response->read_all(kReplyBytesMax);
      CO_TRY(response, co_await send_bytes("PUT", elsewhere, offset, length));
      if (!accepted(response->status())) co_return fail(co_await refusal(std::move(response)));
      co_return Result<void>{};
    }
    if (!accepted(status)) co_return fail(co_await refusal(std::move(response)));
    CO_TRY_VOID(go_on_at(at, *response));
    (void)co_await response->read_all(kReplyBytesMax);
    co_return Result<void>{};
  }

  io::Task<Result<Response>> send_bytes(std::string method, http::Url at, uint64_t offset,
                                        uint64_t length) {
    for (int attempt = 0;; attempt++) {
      progress_.restart_at(offset);
      const auto body =
          std::make_shared<FileBody>(registry_.context().world, file_, offset, length, progress_);
      http::ClientRequest request;
      request.method = method;
      request.headers.set("Content-Type", "application/octet-stream");
      if (method == "PATCH") {
        request.headers.set("Content-Range", fmt::format("{}-{}", offset, offset + length - 1));
        request.headers.set("X-Redirect-Uploads", "1");
      }
      request.body_length = length;
      request.body_source = [body] { return body->next(); };
      CO_TRY(auto response, co_await registry_.send_to(at, std::move(request), call_));
      response->set_idle_max(kAnswerIdleMax);
      if (response->status() == 401 && attempt == 0 && registry_.is_own(at)) {
        CO_TRY_VOID(co_await registry_.renew(std::move(response), call_));
        continue;
      }
      if (response->status() < 400) md5s_ += body->md5();
      if (response->status() == 307) md5s_.resize(md5s_.size() - 16);  // Sent again elsewhere.
      co_return std::move(response);
    }
  }

  io::Task<Result<void>> commit(bool monolithic) {
    http::Url url = location_;
    url.target += url.target.find('?') == std::string::npos ? '?' : '&';
    url.target += "digest=" + http::percent_encode(layer_.digest.str());
    Response response;
    if (monolithic) {
      CO_TRY(response, co_await send_bytes("PUT", url, 0, layer_.size));
    } else {
      const std::string etag = md5_of(md5s_);
      url.target +=
          fmt::format("&etag={}-{}",
                      to_hex(std::span(reinterpret_cast<const uint8_t*>(etag.data()), etag.size())),
                      md5s_.size() / 16);
      http::ClientRequest request;
      request.method = "PUT";
      request.headers.set("Content-Type", "application/octet-stream");
      CO_TRY(response, co_await registry_.send_to(url, std::move(request), call_));
    }
    if (!accepted(response->status())) co_return fail(co_await refusal(std::move(response)));
    (void)co_await response->read_all(kReplyBytesMax);
    progress_.restart_at(layer_.size);
    co_return co_await progress_.tell();
  }

  Registry& registry_;
  const model::Layer& layer_;
  io::File& file_;
  UploadProgress& progress_;
  io::Call call_;
  http::Url location_;
  std::string md5s_;  // Raw MD5 of each part.
  bool patch_refused_ = false;
};

}  // namespace

io::Task<Result<void>> upload_layer(Registry& registry, const model::Layer& layer,
                                    const ProgressSink& sink, io::Call call) {
  io::World& world = registry.context().world;
  UploadProgress progress(world.clock, sink, layer.digest, layer.size);
  CO_TRY(const bool present, co_await registry.has_blob(layer.digest, call));
  if (present) {
    progress.restart_at(layer.size);
    co_return co_await progress.tell();
  }
  const io::Path path = registry.context().store.blob_path(layer.digest);
  CO_TRY(const auto file, world.files.open(path, io::Filesystem::Open::read));
  bool monolithic = layer.size == 0;
  for (int attempt = 1;; attempt++) {
    Upload upload(registry, layer, *file, progress, call);
    const auto done = co_await upload.run(monolithic);
    if (done) co_return done;
    const bool other_way = upload.patch_refused() && !monolithic;
    if (other_way) monolithic = true;
    if (!other_way && !retryable(done.error().code)) co_return done;
    if (attempt == kUploadTriesMax) co_return done;
    log_debug("upload starts again", field("blob", layer.digest), field("error", done.error()));
    const auto pause = std::chrono::seconds(other_way ? 0 : 1 << (attempt - 1));
    CO_TRY_VOID(co_await world.clock.sleep_for(pause, call));
  }
}

}  // namespace om::transfer
