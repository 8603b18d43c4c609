// TCP and unix sockets.
#pragma once

#include "io/name_service.h"
#include "io/real/file_copier.h"
#include "io/real/name_lookups.h"
#include "io/real/stream.h"

namespace om::io {

class RealNetwork final : public Network, public NameService {
 public:
  RealNetwork(boost::asio::io_context& context, Clock& clock, AskName ask_name)
      : context_(context),
        clock_(clock),
        tick_(clock),
        copier_(context),
        lookups_(context, clock, std::move(ask_name)) {}
  void stop_threads() {
    copier_.stop();
    lookups_.stop();
  }

  Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, std::shared_ptr<const Tls> tls,
                                                Call call) override;
  Task<Result<std::unique_ptr<Stream>>> connect_through(Proxy proxy, Endpoint to,
                                                        std::shared_ptr<const Tls> tls,
                                                        Call call) override;
  Result<std::unique_ptr<Listener>> listen(Endpoint at, std::shared_ptr<const Tls> tls) override;
  Task<Result<std::vector<Endpoint>>> lookup(Endpoint name, Call call) override;

 private:
  Task<Result<std::vector<Socket::endpoint_type>>> resolve(const Endpoint& to, Call call);
  Task<Result<Socket>> connect_socket(Socket::endpoint_type to, Call call);
  Task<Result<Socket>> connect_any(Endpoint to, Call call);

  boost::asio::io_context& context_;
  Clock& clock_;
  DeadlineTick tick_;
  FileCopier copier_;
  NameLookups lookups_;
};

}  // namespace om::io
