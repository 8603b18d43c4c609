// Streams of progress objects shown to the user.
#pragma once

#include "app/cli/command.h"
#include "app/cli/terminal.h"

namespace om::app {

// Posts and shows each line; an error line, Ctrl-C or an end without "success" is an error.
io::Task<Result<void>> follow_progress(Cli& cli, std::string path, boost::json::object body);
void show_progress(Progress& progress, const boost::json::object& state, io::TimePoint now);

}  // namespace om::app
