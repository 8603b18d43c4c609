#include "sim/processes.h"

namespace om::sim {

std::string Program::argument(std::string_view flag) const {
  for (size_t i = 0; i + 1 < options_.argv.size(); i++) {
    if (options_.argv[i] == flag) return options_.argv[i + 1];
  }
  return {};
}

void Program::end(io::ExitStatus status) {
  if (status_) return;
  status_ = status;
  lines_.close();
  killed_.cancel();
  ended_.notify_all();
}

class SimChild final : public io::Child {
 public:
  explicit SimChild(std::shared_ptr<Program> program) : program_(std::move(program)) {}
  ~SimChild() override { program_->die(SIGKILL); }

  int pid() const override { return program_->pid_; }
  bool running() const override { return !program_->has_ended(); }
  io::ProcessMemory memory() const override {
    return running() ? io::ProcessMemory{uint64_t{24} << 20, uint64_t{16} << 20}
                     : io::ProcessMemory{};
  }
  void signal(int number) override {
    if (number == SIGKILL || (number == SIGTERM && !program_->ignore_terminate)) {
      program_->die(number);
    }
  }
  io::Task<Result<std::optional<std::string>>> read_line(io::Call call) override {
    const auto program = program_;
    co_return co_await program->lines_.next(std::move(call));
  }
  io::Task<Result<io::ExitStatus>> wait(io::Call call) override {
    const auto program = program_;
    while (!program->status_) {
      CO_TRY_VOID(co_await program->ended_.wait(call));
    }
    co_return *program->status_;
  }

 private:
  std::shared_ptr<Program> program_;
};

namespace {

io::Task<void> run_program(SimProcesses::Main main, std::shared_ptr<Program> program,
                           std::shared_ptr<int> running) {
  ++*running;
  co_await main(program);
  program->exit(0);
  --*running;
}

}  // namespace

Result<std::unique_ptr<io::Child>> SimProcesses::spawn(io::SpawnOptions options) {
  const auto found = programs_.find(options.argv.at(0));
  if (found == programs_.end()) {
    return fail(Errc::not_found, "start {}: No such file or directory", options.argv[0]);
  }
  auto program = std::make_shared<Program>(clock_, std::move(options));
  program->pid_ = next_pid_++;
  std::erase_if(started_, [](const auto& weak) { return weak.expired(); });
  started_.push_back(program);
  io::spawn_detached(executor_, run_program(found->second, program, running_));
  return std::make_unique<SimChild>(program);
}

void SimProcesses::kill_all() {
  for (const auto& weak : started_) {
    if (const auto program = weak.lock()) program->die(SIGKILL);
  }
}

}  // namespace om::sim
