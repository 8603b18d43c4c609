// One request and its response on one connection of the client.
#pragma once

#include <optional>

#include "http/byte_buffer.h"
#include "http/chunked.h"
#include "http/client_pool.h"
#include "http/head.h"

namespace om::http {

class ClientExchange final : public ClientResponse {
 public:
  ClientExchange(std::shared_ptr<ClientPool> pool, std::string key,
                 std::unique_ptr<io::Stream> stream, const io::Clock& clock, io::Call call,
                 const ClientLimits& limits);

  // Sends the request and reads the response's head.
  io::Task<Result<void>> run(ClientRequest& request, const std::string& head);
  // True if the peer said anything: it has seen the request, and asking again is not safe.
  bool received_any() const { return received_any_; }
  bool body_source_used() const { return body_source_used_; }

  int status() const override { return head_.status; }
  const Headers& headers() const override { return head_.headers; }
  std::optional<uint64_t> length() const override;
  io::Task<Result<bool>> read_some(std::string& into) override;
  io::Task<Result<std::string>> read_all(uint64_t size_max) override;
  void set_idle_max(io::Duration idle) override { idle_max_ = idle; }

 private:
  static constexpr size_t kBufferBytesMax = 64 * 1024;
  static constexpr size_t kDirectReadBytes = 128 * 1024;
  static constexpr int kInformationalMax = 8;

  io::Task<Result<void>> send_request(ClientRequest& request, const std::string& head);
  io::Task<Result<void>> send_body(ClientRequest& request);
  io::Task<Result<void>> read_head();
  // Bytes into the buffer; unavailable if the peer closed.
  io::Task<Result<void>> fill();
  io::Task<Result<bool>> read_direct(std::string& into);
  // What the buffer holds of the body; true if that was anything.
  Result<bool> take_buffered(std::string& into);
  // Before each read and write, and after it: the time that our own caller takes in between is no
  // silence of the server.
  void arm_deadline();
  void rest_deadline();
  void body_ended();
  std::unexpected<Error> broken(Error error);

  std::shared_ptr<ClientPool> pool_;
  std::string key_;
  std::unique_ptr<io::Stream> stream_;  // Null once the body has ended or the connection broke.
  const io::Clock& clock_;
  io::Call call_;
  HeadLimits head_limits_;
  ByteBuffer buffer_;
  ResponseHead head_;
  ChunkDecoder decoder_;
  std::optional<Error> error_;
  uint64_t left_ = 0;
  io::Duration idle_max_{};
  bool is_head_request_ = false, done_ = false, received_any_ = false, body_source_used_ = false,
       sent_whole_ = false;
  io::OnCancel on_cancel_;
};

// The request line and the fields. invalid_argument: characters that would break the framing.
Result<std::string> make_request_head(const ClientRequest& request);

}  // namespace om::http
