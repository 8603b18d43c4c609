// pull and push: the server's progress as bars.
#include "app/cli/interrupt.h"
#include "app/cli/progress_lines.h"

namespace om::app {

namespace json = boost::json;

io::Task<Result<void>> follow_progress(Cli& cli, std::string path, json::object body) {
  Progress progress(!cli.quiet_bars);
  const Interrupt interrupt(cli.real);
  CO_TRY(auto lines, co_await cli.api.stream(std::move(path), std::move(body), interrupt.token()));
  bool succeeded = false;
  while (true) {
    auto line = co_await lines->next();
    if (!line) {
      progress.finish();
      if (interrupt.came()) co_return fail(Errc::cancelled, "interrupted");
      co_return fail(line.error());
    }
    if (!*line) break;
    const json::object& state = **line;
    if (cli.json) {
      print_json(state);
    } else {
      show_progress(progress, state, cli.world().clock.now());
    }
    succeeded = text_of(state, "status") == "success";
  }
  if (!succeeded) co_return fail(Errc::unavailable, "the server ended before it was done");
  co_return Result<void>{};
}

void show_progress(Progress& progress, const json::object& state, io::TimePoint now) {
  const std::string status = text_of(state, "status");
  const uint64_t total = number_of(state, "total");
  if (total == 0) {
    progress.status(status);
  } else {
    progress.bar(status, number_of(state, "completed"), total, now);
  }
}

CommandTask transfer_command(Cli& cli, std::string action, std::string model, bool insecure) {
  json::object body;
  body["model"] = model;
  if (insecure) body["insecure"] = true;
  co_return co_await follow_progress(cli, "/api/" + action, std::move(body));
}

}  // namespace om::app
