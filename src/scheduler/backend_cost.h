// What a request costs at foreign servers, in the same terms as at nodes, so that both can be
// compared. Pure, as node_placement.h.
#pragma once

#include <span>

#include "engine/external/backend.h"
#include "scheduler/node_placement.h"

namespace om::scheduler {

// A backend as a decision sees it.
struct BackendOffer {
  std::string name;
  Exclusion excluded = Exclusion::none;
  std::string reason;            // Of an exclusion.
  int running = 0, waiting = 0;  // Our requests there; those of them without a first token.
  // As measured, for a request that runs alone there. 0: not measured.
  double prefill_ms = 0, output_rate = 0;
};

// What a backend is called among nodes, in decisions and headers.
std::string backend_node(std::string_view name);

// `asked`: it refused or failed this request.
BackendOffer offer_of(const engine::Backend& backend, std::string_view model, size_t prompt_bytes,
                      bool asked);

// Adds backends to a decision on nodes; if no node has the model, to an empty decision with the
// request's sizes. A backend without measurements is expected to be as fast as the other ones.
// Equals are ordered by the number of our requests there, then by name. A backend that fails our
// checks comes last.
//
// `own`: nodes may be asked. Returns whether to ask them first. False: no node can run the model,
// or a backend costs less and both are measured.
bool add_backends(PlacementDecision& decision, std::span<const BackendOffer> offers, bool own,
                  Priority priority, const PlacementOptions& options = {});

}  // namespace om::scheduler
