#include "transfer/file_body.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "transfer/metrics.h"

namespace om::transfer {

void UploadProgress::sent(uint64_t count) {
  completed_ += count;
  sent_bytes.add(count);
}

struct FileBody::Md5 {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Md5() {
    CHECK(context != nullptr);
    CHECK(EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1);
  }
  ~Md5() { EVP_MD_CTX_free(context); }
  void update(std::string_view data) {
    CHECK(EVP_DigestUpdate(context, data.data(), data.size()) == 1);
  }
};

FileBody::FileBody(io::World& world, io::File& file, uint64_t offset, uint64_t length,
                   UploadProgress& progress)
    : world_(world),
      file_(file),
      offset_(offset),
      end_(offset + length),
      progress_(progress),
      md5_(std::make_unique<Md5>()) {}

FileBody::~FileBody() = default;

io::Task<Result<std::string>> FileBody::next() {
  std::string piece(std::min(kPieceBytes, end_ - offset_), '\0');
  if (piece.empty()) co_return piece;
  auto job = [this, &piece]() -> Result<size_t> {
    TRY(const size_t count, file_.read_at(offset_, piece));
    md5_->update(std::string_view(piece.data(), count));
    return count;
  };
  CO_TRY(const size_t count, co_await world_.workers.run(std::move(job)));
  if (count == 0) co_return fail(Errc::corrupt, "the blob became shorter while it was pushed");
  piece.resize(count);
  offset_ += count;
  progress_.sent(count);
  co_return piece;
}

std::string FileBody::md5() {
  std::string digest(16, '\0');
  unsigned int length = 0;
  CHECK(EVP_DigestFinal_ex(md5_->context, reinterpret_cast<uint8_t*>(digest.data()), &length) == 1);
  return digest;
}

std::string md5_of(std::string_view data) {
  std::string digest(16, '\0');
  unsigned int length = 0;
  CHECK(EVP_Digest(data.data(), data.size(), reinterpret_cast<uint8_t*>(digest.data()), &length,
                   EVP_md5(), nullptr) == 1);
  return digest;
}

}  // namespace om::transfer
