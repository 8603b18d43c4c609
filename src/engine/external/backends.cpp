#include "engine/external/backends.h"

#include <algorithm>

namespace om::engine {

Backends::Backends(io::World& world, http::Client& client)
    : world_(world), client_(client), tasks_(world.executor, world.clock) {}

Backends::~Backends() = default;

void Backends::put(BackendSpec spec, std::string key) {
  const std::string name = spec.name;
  if (const auto known = backends_.find(name); known != backends_.end()) {
    if (known->second->spec() == spec) return known->second->set_key(std::move(key));
    remove(name);
  }
  auto backend = std::make_shared<Backend>(world_, client_, std::move(spec), std::move(key));
  backend->start();
  backends_[name] = std::move(backend);
}

void Backends::set_key(const std::string& name, std::string key) {
  const auto found = backends_.find(name);
  if (found != backends_.end()) found->second->set_key(std::move(key));
}

void Backends::remove(const std::string& name) {
  const auto found = backends_.find(name);
  if (found == backends_.end()) return;
  tasks_.spawn(end(std::move(found->second)));
  backends_.erase(found);
}

io::Task<void> Backends::end(std::shared_ptr<Backend> backend) { co_await backend->stop(); }

std::vector<std::shared_ptr<Backend>> Backends::list() const {
  std::vector<std::shared_ptr<Backend>> all;
  all.reserve(backends_.size());
  for (const auto& [name, backend] : backends_) all.push_back(backend);
  return all;
}

bool Backends::any_has(std::string_view model) const {
  return std::ranges::any_of(
      backends_, [model](const auto& item) { return item.second->find(model) != nullptr; });
}

io::Task<void> Backends::wait_checked(io::Call call) {
  constexpr std::chrono::milliseconds kPoll{20};
  auto are_checked = [this] {
    return std::ranges::all_of(backends_,
                               [](const auto& item) { return item.second->was_checked(); });
  };
  co_await io::wait_until(world_.clock, are_checked, kPoll, std::move(call));
}

std::vector<std::shared_ptr<Backend>> Backends::all_with(std::string_view model) const {
  std::vector<std::shared_ptr<Backend>> all = list();
  std::erase_if(all, [model](const auto& backend) { return backend->find(model) == nullptr; });
  return all;
}

std::vector<std::shared_ptr<Backend>> Backends::servers_of(std::string_view model) const {
  std::vector<std::shared_ptr<Backend>> holders = all_with(model);
  std::erase_if(holders, [](const auto& backend) { return !backend->may_be_asked(); });
  std::ranges::stable_sort(holders, {}, [](const auto& backend) {
    return std::pair(!backend->healthy(), backend->running());
  });
  return holders;
}

io::Task<void> Backends::stop() {
  while (!backends_.empty()) {
    const std::shared_ptr<Backend> backend = backends_.begin()->second;
    backends_.erase(backends_.begin());
    co_await backend->stop();
  }
  co_await tasks_.wait();
}

}  // namespace om::engine
