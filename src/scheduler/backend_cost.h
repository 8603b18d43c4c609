// What a request costs at foreign servers that have its model, in the same terms as at nodes, so
// that both can be compared. Pure, as node_placement.h.
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
  int running = 0, waiting = 0;  // Of our requests there; of these, without a first token.
  // As measured of a request that is alone there. 0: not measured.
  double prefill_ms = 0, output_rate = 0;
};

// What a backend is called among nodes, in decisions and headers.
std::string backend_node(std::string_view name);

// `asked`: it refused or failed this request.
BackendOffer offer_of(const engine::Backend& backend, std::string_view model, size_t prompt_bytes,
                      bool asked);

// Adds them to what was decided on nodes, or, where no node has the model, to an empty decision
// with the request's sizes. Backends that have measured nothing are expected to be as fast as those
// beside them. Of equals the one with fewest of our requests is first, then the first by name. One
// that fails our checks is used if nothing else is left.
//
// `own`: nodes may be asked. True if they are to be asked first: unless a backend costs less, where
// both are measured, or no node can run the model.
bool add_backends(PlacementDecision& decision, std::span<const BackendOffer> offers, bool own,
                  Priority priority, const PlacementOptions& options = {});

}  // namespace om::scheduler
