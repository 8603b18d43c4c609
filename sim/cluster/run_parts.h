// What a run lends to those parts of it that are classes of their own. All of it outlives them.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/client_for_test.h"
#include "sim/cluster/node.h"
#include "sim/cluster/scenario.h"
#include "sim/path_run_for_test.h"

namespace om::sim {

// Whether the model is written down as the cluster's.
bool is_catalogued(const SharedMetadata& facts, std::string_view model);

// Whether what comes and goes is there, as those know who change it.
struct Presence {
  std::optional<bool> is_there;           // By the last change that was told done.
  bool may_come = false, may_go = false;  // By one that nobody answered.

  // Nothing: either would be right.
  std::optional<bool> expected() const {
    if (!is_there || (*is_there ? may_go : may_come)) return std::nullopt;
    return is_there;
  }
};

struct RunParts {
  World& world;
  const ClusterScenario& scenario;
  const std::vector<std::unique_ptr<ClusterNode>>& nodes;
  const SharedMetadata& facts;
  Exchanges& seen;
  PathReport& report;
  std::function<void(std::string)> complain;

  // What its operator does, as in ClusterRun.
  std::function<io::Task<Result<boost::json::object>>(const ClusterNode& node, std::string method,
                                                      std::string target, std::string body)>
      ask;
  std::function<io::Task<void>(size_t node, std::string method, std::string target,
                               std::string body, std::string_view what)>
      ask_until_done;
  std::function<io::Task<void>(std::function<bool()> condition, io::Duration at_most,
                               std::string_view what)>
      wait_for;
};

}  // namespace om::sim
