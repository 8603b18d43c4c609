// The foreign servers that this node uses.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/external/backend.h"

namespace om::engine {

// On the io thread; stop() must have returned before it is destroyed.
class Backends {
 public:
  Backends(io::World& world, http::Client& client);
  ~Backends();

  // Adds one, or replaces the one of that name; it is asked in the background from then on.
  void put(BackendSpec spec, std::string key);
  void set_key(const std::string& name, std::string key);
  void remove(const std::string& name);

  std::vector<std::shared_ptr<Backend>> list() const;  // By name.
  // Servers that have the model and may be asked now; healthy and least busy ones first.
  std::vector<std::shared_ptr<Backend>> servers_of(std::string_view model) const;
  std::vector<std::shared_ptr<Backend>> all_with(std::string_view model) const;  // By name.
  bool any_has(std::string_view model) const;
  // Waits until all were asked once for their models, or the call ends.
  io::Task<void> wait_checked(io::Call call);
  bool empty() const { return backends_.empty(); }
  io::Task<void> stop();

 private:
  io::Task<void> end(std::shared_ptr<Backend> backend);

  io::World& world_;
  http::Client& client_;
  std::map<std::string, std::shared_ptr<Backend>> backends_;
  io::TaskGroup tasks_;
};

}  // namespace om::engine
