#include "app/cli/load_view.h"

#include <unistd.h>

#include "base/json_fields.h"

namespace om::app {

namespace json = boost::json;

namespace {

constexpr std::chrono::milliseconds kLookEvery{200};

}  // namespace

LoadView::LoadView(Cli& cli, std::string model)
    : cli_(cli),
      model_(std::move(model)),
      progress_(is_terminal(STDERR_FILENO)),
      tasks_(cli.world().executor, cli.world().clock) {
  if (!is_terminal(STDERR_FILENO)) return;
  spinner_.emplace(cli_.world().clock);
  tasks_.spawn(follow());
}

void LoadView::hide() {
  if (std::exchange(hidden_, true)) return;
  spinner_.reset();
  progress_.clear();
}

io::Task<void> LoadView::end() {
  hide();
  co_await tasks_.stop();
}

io::Task<void> LoadView::follow() {
  const io::Call call{io::kNever, tasks_.token()};
  while (co_await cli_.world().clock.sleep_for(kLookEvery, call)) {
    // Another server than ours knows nothing of loads: the spinner stays.
    const auto reply = co_await cli_.api.get("/api/v1/loads?model=" + model_, call.cancel);
    if (!reply || hidden_ || !show(*reply)) co_return;
  }
}

bool LoadView::show(const json::value& reply) {
  if (!reply.is_object()) return false;
  const json::array* loads = JsonFields(reply.get_object()).array("loads");
  if (!loads) return false;
  const bool loads_now = !loads->empty() && loads->front().is_object();
  if (loads_now) {
    spinner_.reset();
    bar_ = true;
    const json::object& load = loads->front().get_object();
    double part = 0;
    JsonFields(load).read("progress", part);
    const uint64_t size = number_of(load, "size");
    progress_.bar("loading " + model_,
                  static_cast<uint64_t>(static_cast<double>(size) * std::clamp(part, 0.0, 1.0)),
                  size, cli_.world().clock.now());
  } else if (std::exchange(bar_, false)) {
    progress_.clear();
    spinner_.emplace(cli_.world().clock);
  }
  return true;
}

}  // namespace om::app
