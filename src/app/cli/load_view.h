// Shown while an answer is awaited: a spinner, and a bar while the model is loaded.
#pragma once

#include <optional>
#include <string>

#include "app/cli/command.h"
#include "app/cli/spinner.h"
#include "app/cli/terminal.h"
#include "io/task_group.h"

namespace om::app {

// On a terminal only. On the io thread; end() must have returned before it is destroyed.
class LoadView {
 public:
  LoadView(Cli& cli, std::string model);

  void hide();           // Leaves the line empty for good: output came.
  io::Task<void> end();  // hide(), and stops asking the server.

 private:
  io::Task<void> follow();
  // False: the reply tells nothing of loads.
  bool show(const boost::json::value& reply);

  Cli& cli_;
  std::string model_;
  std::optional<Spinner> spinner_;
  Progress progress_;
  bool hidden_ = false, bar_ = false;
  io::TaskGroup tasks_;
};

}  // namespace om::app
