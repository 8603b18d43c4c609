// Sends the progress of long work: a line for each step, or only the last one.
#pragma once

#include <string>

#include "api/api.h"

namespace om::api {

// Lives in the frame of one handler; outlives the work that uses sink().
class ProgressSender {
 public:
  ProgressSender(Context& context, bool stream) : context_(context), stream_(stream) {}

  transfer::ProgressSink sink();
  // After the work's success.
  io::Task<Result<void>> finish();

 private:
  io::Task<Result<void>> take(transfer::Progress progress);

  Context& context_;
  bool stream_;
  std::string line_;
};

}  // namespace om::api
