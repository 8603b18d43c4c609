// Open connections of the client that wait for their next request.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/client.h"

namespace om::http {

// Last in, first out, so that a quiet time lets the surplus grow old and go. On the io thread.
class ClientPool {
 public:
  ClientPool(io::Clock& clock, const ClientLimits& limits) : clock_(clock), limits_(limits) {}
  ~ClientPool() { clock_.cancel_timer(timer_); }

  static std::string key(const ClientRequest& request);
  // Null: none is open, or those that were are dead.
  std::unique_ptr<io::Stream> take(const std::string& key);
  void put(const std::string& key, std::unique_ptr<io::Stream> stream);
  void clear();
  void clear(const std::string& key) { idle_.erase(key); }

 private:
  struct Idle {
    std::unique_ptr<io::Stream> stream;
    io::TimePoint since;
  };
  static constexpr size_t kEndpointsMax = 1024;
  void drop_old();

  io::Clock& clock_;
  ClientLimits limits_;
  std::map<std::string, std::vector<Idle>> idle_;
  io::Clock::TimerId timer_ = 0;  // For the oldest; 0: none is open.
};

}  // namespace om::http
