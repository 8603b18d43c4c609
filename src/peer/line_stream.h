// An answer to another node: lines, and a pulse whenever no line came for a while.
#pragma once

#include <string>
#include <string_view>

#include "http/server.h"
#include "io/event.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::peer {

// Used by one coroutine. finish() must have returned before it is destroyed. Errors mean that the
// other node is gone.
class LineStream {
 public:
  LineStream(io::World& world, http::ResponseWriter& response);
  ~LineStream();

  io::Task<Result<void>> start();  // Sends the head; pulses from then on.
  io::Task<Result<void>> write(std::string_view lines);
  io::Task<void> finish();

 private:
  io::Task<void> pulse();
  io::Task<Result<void>> send(std::string_view lines);

  io::World& world_;
  http::ResponseWriter& response_;
  io::Event idle_;
  bool writing_ = false, broken_ = false;
  io::TimePoint written_{};
  io::TaskGroup tasks_;
};

}  // namespace om::peer
