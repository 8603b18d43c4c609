// One supervised llama-server child: started, watched, ended.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "engine/local/graphics.h"
#include "engine/local/hindrance.h"
#include "engine/local/launch.h"
#include "engine/local/silence_watch.h"
#include "http/client.h"
#include "io/task_group.h"
#include "io/world.h"

namespace om::engine {

// Lives on the io thread. start() once, then stop() before the last reference goes, also after a
// failed start or a death. Requests in flight hold a reference.
//
// The child's end is noticed at once. A child that answers /health but brings no token to waiting
// requests is wedged, and is ended. Either way broken() is cancelled and `on_death` is called once.
class RunnerProcess : public std::enable_shared_from_this<RunnerProcess> {
 public:
  RunnerProcess(io::World& world, LaunchOptions options);
  ~RunnerProcess();

  // unavailable: the child ended while loading, or made no progress, with its last words.
  // not_found: no such program. cancelled, deadline_exceeded. After an error the child is gone.
  io::Task<Result<void>> start(io::Call call);
  // Breaks the requests in flight and asks the child to end; kills it after the grace period.
  io::Task<void> stop();

  // Breaks the requests in flight for this reason and kills the child; on_death is called.
  void condemn(std::string reason);

  bool alive() const { return child_ && child_->running() && !broken_.cancelled(); }
  io::CancelToken broken() const { return broken_.token(); }
  // Somebody else's signal ended it, SIGKILL or SIGTERM. Meaningful once broken() is cancelled.
  bool was_killed() const;
  // A signal ended it before it was ready: not its own doing, so a second try may go well.
  bool killed_while_loading() const { return killed_while_loading_; }
  // We ended it, for its silence. Meaningful once broken() is cancelled.
  bool was_wedged() const { return wedged_; }
  bool has_worked() const { return silence_.has_worked(); }  // For any request so far.
  Error death() const;  // unavailable, with the reason. Meaningful once broken() is cancelled.
  void on_death(std::function<void()> callback) { on_death_ = std::move(callback); }

  double load_progress() const;  // 0..1, by the memory that is filled.
  io::ProcessMemory memory() const { return child_ ? child_->memory() : io::ProcessMemory{}; }
  const GraphicsUse& graphics() const { return graphics_; }  // As its log told.
  int pid() const { return child_ ? child_->pid() : 0; }
  const LaunchOptions& options() const { return options_; }
  const std::string& media_marker() const { return secrets_.media_marker; }
  io::World& world() { return world_; }

  // With the address and the key filled in.
  http::ClientRequest request(std::string method, std::string target, std::string body) const;
  http::Client& client() { return *client_; }

  // Waits briefly until the child's end is known: its connections break a little earlier.
  io::Task<void> settle();

  // The pace of earlier runners of the same kind. Call before the first request.
  void use_pace(std::shared_ptr<RunnerPace> pace) { silence_.use(std::move(pace)); }

  // A request that expects events, for as long as this lives. See SilenceWatch.
  class Watch {
   public:
    explicit Watch(std::shared_ptr<RunnerProcess> runner, PromptWork work = {});
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    void begin_wait();
    void end_wait();
    void heard();
    void note_progress(const SilenceWatch::Progress& progress);
    void note_evaluated(io::Duration took);
    void note_token();

   private:
    std::shared_ptr<RunnerProcess> runner_;
    SilenceWatch::Handle request_;
  };

 private:
  io::Task<Result<void>> spawn_child();
  io::Task<Result<void>> wait_ready(io::Call call);
  io::Task<Result<bool>> is_ready(io::Call call);  // false: still loading.
  io::Task<void> read_output();
  io::Task<void> watch_exit();
  io::Task<void> watch_stalls();
  io::Task<void> end_child(bool force);
  void keep_line(std::string line);
  void break_all(std::string reason);
  std::string last_words() const;
  void remove_socket();

  io::World& world_;
  LaunchOptions options_;
  LaunchSecrets secrets_;
  std::unique_ptr<http::Client> client_;
  std::unique_ptr<io::Child> child_;
  std::deque<std::string> lines_;  // The last lines of its output.
  std::string first_trouble_;      // The first such line while it loads.
  GraphicsUse graphics_;
  io::TimePoint last_line_{};
  bool ready_ = false, stopping_ = false, exited_ = false;
  bool killed_while_loading_ = false, wedged_ = false;
  int exit_signal_ = 0;
  std::string death_;
  io::CancelSource broken_;
  std::function<void()> on_death_;
  SilenceWatch silence_;
  Hindrance hindrance_;
  io::Event changed_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
