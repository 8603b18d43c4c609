// GET /openapi.yaml: the description of everything a node serves, docs/openapi.yaml, put into the
// program when it is compiled.
#pragma once

#include <string_view>

#include "api/router.h"

namespace om::api {

std::string_view openapi_document();
void register_openapi(Router& router);

}  // namespace om::api
