#include "transfer/chunk_source.h"

namespace om::transfer {
namespace {

class ResponseStream final : public ByteStream {
 public:
  explicit ResponseStream(std::unique_ptr<http::ClientResponse> response)
      : response_(std::move(response)) {}
  io::Task<Result<bool>> read_some(std::string& into) override {
    return response_->read_some(into);
  }

 private:
  std::unique_ptr<http::ClientResponse> response_;
};

class PeerSource final : public ChunkSource {
 public:
  PeerSource(http::Client& client, io::Clock& clock, PeerAddress address, Digest digest)
      : client_(client), clock_(clock), address_(std::move(address)), digest_(digest) {}

  const std::string& name() const override { return address_.name; }
  bool is_registry() const override { return false; }
  io::Task<Result<Offer>> offer(size_t after, io::Call call) override;
  io::Task<Result<std::unique_ptr<ByteStream>>> open(uint64_t offset, uint64_t length,
                                                     io::Call call) override;
  io::Task<Result<void>> doubt(io::Call call) override;

 private:
  http::ClientRequest request(std::string_view what) const {
    http::ClientRequest request;
    request.endpoint = address_.endpoint;
    request.tls = address_.tls;
    request.host = address_.endpoint.str();
    request.target = fmt::format("/peer/v1/blobs/{}{}", digest_.str(), what);
    return request;
  }
  io::Task<Result<std::unique_ptr<http::ClientResponse>>> ask(http::ClientRequest request,
                                                              int status, io::Call call);

  http::Client& client_;
  io::Clock& clock_;
  PeerAddress address_;
  Digest digest_;
};

io::Task<Result<std::unique_ptr<http::ClientResponse>>> PeerSource::ask(http::ClientRequest request,
                                                                        int status, io::Call call) {
  auto response = co_await client_.send(std::move(request), std::move(call));
  if (!response) co_return fail(annotate(response.error(), address_.name));
  if ((*response)->status() != status) {
    co_return fail(annotate(co_await refusal(std::move(*response)), address_.name));
  }
  co_return std::move(*response);
}

io::Task<Result<Offer>> PeerSource::offer(size_t after, io::Call call) {
  call = clock_.call_within(kOfferWait + kSourceIdleMax, call);
  auto asked = request(fmt::format("/chunks?after={}", after));
  CO_TRY(auto response, co_await ask(std::move(asked), 200, std::move(call)));
  CO_TRY(const auto body, co_await response->read_all(kOfferBytesMax));
  co_return Offer::parse(body);
}

io::Task<Result<std::unique_ptr<ByteStream>>> PeerSource::open(uint64_t offset, uint64_t length,
                                                               io::Call call) {
  auto asked = request("");
  asked.headers.set("Range", fmt::format("bytes={}-{}", offset, offset + length - 1));
  CO_TRY(auto response, co_await ask(std::move(asked), 206, std::move(call)));
  if (response->length() != length) {
    co_return fail(Errc::corrupt, "{} sent another range than asked for", address_.name);
  }
  response->set_idle_max(kSourceIdleMax);
  co_return std::make_unique<ResponseStream>(std::move(response));
}

io::Task<Result<void>> PeerSource::doubt(io::Call call) {
  auto told = request("/doubt");
  told.method = "POST";
  CO_TRY_VOID(co_await ask(std::move(told), 202, std::move(call)));
  co_return Result<void>{};
}

class RegistrySource final : public ChunkSource {
 public:
  RegistrySource(std::shared_ptr<Registry> registry, Digest digest, uint64_t size)
      : registry_(std::move(registry)),
        name_(registry_->name().host),
        digest_(digest),
        size_(size) {}

  const std::string& name() const override { return name_; }
  bool is_registry() const override { return true; }
  io::Task<Result<Offer>> offer(size_t, io::Call) override {
    co_return fail(Errc::unsupported, "a registry knows no chunks");
  }
  io::Task<Result<std::unique_ptr<ByteStream>>> open(uint64_t offset, uint64_t length,
                                                     io::Call call) override {
    CO_TRY(auto source, co_await registry_->get_blob(digest_, offset, offset + length - 1, size_,
                                                     std::move(call)));
    if (source.whole && length != size_) {
      co_return fail(Errc::unsupported, "{} knows no ranges", name_);
    }
    co_return std::make_unique<ResponseStream>(std::move(source.response));
  }
  io::Task<Result<void>> doubt(io::Call) override {
    co_return fail(Errc::unsupported, "a registry is not told of doubts");
  }

 private:
  std::shared_ptr<Registry> registry_;
  std::string name_;
  Digest digest_;
  uint64_t size_;
};

}  // namespace

std::unique_ptr<ChunkSource> peer_source(http::Client& client, io::Clock& clock,
                                         PeerAddress address, Digest digest) {
  return std::make_unique<PeerSource>(client, clock, std::move(address), digest);
}

std::unique_ptr<ChunkSource> registry_source(std::shared_ptr<Registry> registry, Digest digest,
                                             uint64_t size) {
  return std::make_unique<RegistrySource>(std::move(registry), digest, size);
}

}  // namespace om::transfer
