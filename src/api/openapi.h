// GET /openapi.yaml: the description of everything a node serves: docs/openapi.yaml, compiled into
// the program.
#pragma once

#include <string_view>

#include "api/router.h"

namespace om::api {

std::string_view openapi_document();
void register_openapi(Router& router);

}  // namespace om::api
