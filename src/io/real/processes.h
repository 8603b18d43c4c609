// POSIX child processes, watched through a pidfd.
#pragma once

#include <boost/asio/io_context.hpp>

#include "io/clock.h"
#include "io/processes.h"

namespace om::io {

class RealProcesses final : public Processes {
 public:
  RealProcesses(boost::asio::io_context& context, Clock& clock)
      : context_(context), clock_(clock) {}
  Result<std::unique_ptr<Child>> spawn(SpawnOptions options) override;

 private:
  boost::asio::io_context& context_;
  Clock& clock_;
};

}  // namespace om::io
