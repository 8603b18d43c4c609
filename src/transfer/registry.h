// One repository of one registry, as one pull or push sees it: requests with login, redirects and
// errors turned into ours. Protocol: the OCI distribution specification (v2 API).
#pragma once

#include <memory>
#include <string>

#include "http/client.h"
#include "model/name.h"
#include "security/registry_key.h"
#include "transfer/context.h"

namespace om::transfer {

// A range of a blob, or all of it where the server knows no ranges.
struct BlobResponse {
  std::unique_ptr<http::ClientResponse> response;
  bool whole = false;  // The body begins at byte 0, whichever range was asked for.
};

// On the io thread; several requests may run at once, and share its tokens.
class Registry {
 public:
  // invalid_argument "insecure protocol http": an http:// name without `insecure`.
  static Result<std::shared_ptr<Registry>> open(Context& context, const model::Name& name,
                                                bool insecure);

  // not_found "file does not exist". Other refusals as "<status>: <text>".
  io::Task<Result<std::string>> get_manifest(io::Call call);
  io::Task<Result<void>> put_manifest(std::string bytes, io::Call call);
  io::Task<Result<bool>> has_blob(Digest digest, io::Call call);
  // Bytes first..last of a blob of `size` bytes. corrupt: the server has another size.
  io::Task<Result<BlobResponse>> get_blob(Digest digest, uint64_t first, uint64_t last,
                                          uint64_t size, io::Call call);

  // One request to the registry itself, with the token if there is one; a 401 is answered once
  // with a new token. Redirects are returned as they are.
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> send(http::ClientRequest request,
                                                               io::Call call);
  // To whatever host `url` names: our login goes along only if it is the registry.
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> send_to(http::Url url,
                                                                  http::ClientRequest request,
                                                                  io::Call call);
  // Gets a new token as a 401 asks; for requests whose body send() cannot repeat.
  io::Task<Result<void>> renew(std::unique_ptr<http::ClientResponse> refused, io::Call call);
  // refusal(); if the node's key was shown, a denial also names the key.
  io::Task<Error> refused(std::unique_ptr<http::ClientResponse> response);
  http::Url url(std::string_view path) const;  // "blobs/sha256:..." below the repository.
  // A Location header relative to `base`. forbidden: leaves https for http.
  Result<http::Url> resolve(const http::Url& base, std::string_view location) const;
  bool is_own(const http::Url& url) const;
  // The registry took a part of an upload itself, instead of pointing to another host.
  void note_keeps_uploads() { keeps_uploads_ = true; }
  bool keeps_uploads() const { return keeps_uploads_; }
  const model::Name& name() const { return name_; }
  Context& context() { return context_; }

  Registry(Context& context, model::Name name, http::Url base)
      : context_(context), name_(std::move(name)), base_(std::move(base)) {}

 private:
  Result<http::Url> login_url(std::string_view challenge);
  io::Task<Result<void>> log_in(http::Url url, io::Call call);
  io::Task<Result<BlobResponse>> checked_range(std::unique_ptr<http::ClientResponse> response,
                                               uint64_t first, uint64_t size);

  Context& context_;
  model::Name name_;
  http::Url base_;
  std::string token_;
  std::string shown_key_;  // The public half of the key that was shown for a token.
  bool keeps_uploads_ = false;
  bool has_answered_ = false;  // The registry, or a host that it redirected to.
  // Where a redirect led for a blob: later ranges go there at once until it refuses.
  std::map<Digest, http::Url> direct_;
};

// Reads the rest of a refusal and makes the error: 404 not_found "file does not exist", else
// "<status>: <text>".
io::Task<Error> refusal(std::unique_ptr<http::ClientResponse> response);

}  // namespace om::transfer
