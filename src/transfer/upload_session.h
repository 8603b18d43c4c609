// One upload session of one layer at its registry: the requests, without any retry.
#pragma once

#include "model/manifest.h"
#include "transfer/file_body.h"
#include "transfer/registry.h"

namespace om::transfer {

// As Ollama's: an object store that a registry sends us to may depend on them.
inline constexpr uint64_t kPartBytesMin = 100'000'000, kPartBytesMax = 1'000'000'000;
// If the registry is known to take the bytes itself. Smaller, since a broken part may be lost.
inline constexpr uint64_t kOwnPartBytesMin = 16 << 20;
// How long no byte of a part may be taken, or no answer come: a registry may hash it first.
inline constexpr std::chrono::seconds kUploadSilenceMax{120};

class SilenceWatch;

// Closed at first; start() or adopt() opens it. Errors as of Registry::send() and refusal(), and
// unavailable: nothing moves any more. The references outlive it.
class UploadSession {
 public:
  UploadSession(Registry& registry, const model::Layer& layer, io::File& file,
                UploadProgress& progress, io::Call call)
      : registry_(registry),
        layer_(layer),
        file_(file),
        progress_(progress),
        call_(std::move(call)) {}

  // Begins a session. True if the registry had the blob in another repository and mounted it.
  io::Task<Result<bool>> start();
  // Takes up an earlier session by its URL; call find_offset() next. forbidden: the URL is on
  // another host than the registry.
  Result<void> adopt(std::string_view url);
  void close() { open_ = false; }
  // Asks how much the registry has, and goes on there. not_found: it has nothing, or claims too
  // much, or has forgotten the session.
  io::Task<Result<void>> find_offset();
  io::Task<Result<void>> send_part();   // The next one; a 307 sends it elsewhere by PUT.
  io::Task<Result<void>> send_whole();  // Everything with one PUT, which also ends the session.
  io::Task<Result<void>> commit();      // After the last part.

  bool is_open() const { return open_; }
  uint64_t offset() const { return offset_; }  // How much the registry has said to have.
  std::string url() const { return location_.str(); }
  // The status of the last answer, if that was a refusal; else 0.
  int refused_with() const { return refused_with_; }
  // The bytes went to another host; only the registry can ask that host about them.
  bool is_elsewhere() const { return elsewhere_; }
  bool is_at_registry() const { return !elsewhere_ && registry_.is_own(location_); }

 private:
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> ask(std::string method, http::Url at,
                                                              io::Duration max);
  Result<void> go_on_at(const http::Url& base, const http::ClientResponse& response);
  uint64_t part_bytes() const;
  io::Task<Result<void>> send_elsewhere(std::unique_ptr<http::ClientResponse> pointer,
                                        const http::Url& at, uint64_t length, SilenceWatch& watch);
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> send_bytes(std::string method,
                                                                     http::Url at, uint64_t length,
                                                                     SilenceWatch& watch);
  io::Task<Error> refused(std::unique_ptr<http::ClientResponse> response);
  io::Task<Result<void>> finish(Result<std::unique_ptr<http::ClientResponse>> response);
  http::Url commit_url() const;

  Registry& registry_;
  const model::Layer& layer_;
  io::File& file_;
  UploadProgress& progress_;
  io::Call call_;
  http::Url location_;
  uint64_t offset_ = 0;
  std::string md5s_;         // Raw MD5 of each part,
  bool knows_parts_ = true;  // if all of them went through here.
  int refused_with_ = 0;
  bool open_ = false, elsewhere_ = false;
};

}  // namespace om::transfer
