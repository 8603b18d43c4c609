// What a request would cost at a node that stands alone.
#include <algorithm>

#include "base/check.h"
#include "scheduler/local_scheduler.h"
#include "scheduler/node_chooser.h"

namespace om::scheduler {

std::shared_ptr<PlacementDecision> LocalScheduler::dry_run(const Target& target,
                                                           const AcquireOptions& options) {
  cluster::NodeInfo node = node_info(options_.name.empty() ? "this node" : options_.name);
  std::vector<Digest> files;  // All are here: the model is.
  files.reserve(target.files.size());
  for (const Target::File& file : target.files) files.push_back(file.digest);
  std::ranges::sort(files);
  node.blobs = std::make_shared<const std::vector<Digest>>(std::move(files));
  const auto view = cluster::View::of({std::move(node)});
  CHECK(view.has_value(), "a node alone has a name");
  NodeChooser chooser(world_.random);
  chooser.observe(*view);
  const PlacementRequest request = chooser.request(target, options);
  return std::make_shared<PlacementDecision>(chooser.decide(request, world_.clock.now()));
}

}  // namespace om::scheduler
