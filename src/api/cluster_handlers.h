// The operator's routes: /api/v1/cluster and below.
#pragma once

#include "api/api.h"
#include "api/ollama_handlers.h"

namespace om::api {

void register_cluster(Router& router, const Dependencies& dependencies);

}  // namespace om::api
