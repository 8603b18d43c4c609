// What names of machines mean now.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/network.h"

namespace om::io {

// What the system says of a name: 0 or one of getaddrinfo()'s EAI_ codes, and numeric addresses.
struct NameAnswer {
  int error = 0;
  std::vector<std::string> addresses;
};
using AskName = std::function<NameAnswer(const std::string& name)>;  // Blocks; on any thread.

// io thread only; made by the world.
class NameService {
 public:
  virtual ~NameService() = default;
  // Every address of a name, with the port it is given. not_found: it has none. unavailable: the
  // name servers do not answer now. overloaded, cancelled, deadline_exceeded.
  virtual Task<Result<std::vector<Endpoint>>> lookup(Endpoint name, Call call) = 0;
};

}  // namespace om::io
