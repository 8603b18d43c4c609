// What names of machines mean now.
#pragma once

#include <vector>

#include "io/network.h"

namespace om::io {

// io thread only; made by the world.
class NameService {
 public:
  virtual ~NameService() = default;
  // Every address of a name, with the port it is given. not_found: it has none. cancelled,
  // deadline_exceeded.
  virtual Task<Result<std::vector<Endpoint>>> lookup(Endpoint name, Call call) = 0;
};

}  // namespace om::io
