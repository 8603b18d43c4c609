// A response writer that passes on what it gets; those that change or count something begin here.
#pragma once

#include "http/server.h"

namespace om::http {

// write_file() goes through write(), unless it is overridden, too. `inner` outlives it.
class ForwardingWriter : public ResponseWriter {
 public:
  explicit ForwardingWriter(ResponseWriter& inner) : inner_(inner) {}
  Headers& headers() override { return inner_.headers(); }
  io::Task<Result<void>> send(int status, std::string type, std::string body) override {
    return inner_.send(status, std::move(type), std::move(body));
  }
  io::Task<Result<void>> start(int status, std::string type,
                               std::optional<uint64_t> length) override {
    return inner_.start(status, std::move(type), length);
  }
  io::Task<Result<void>> write(std::string_view data) override { return inner_.write(data); }
  io::Task<Result<void>> finish() override { return inner_.finish(); }
  bool started() const override { return inner_.started(); }

 protected:
  ResponseWriter& inner_;
};

}  // namespace om::http
