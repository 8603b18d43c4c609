// What clients write as the parameters of a tool, as a schema that llama.cpp can make a grammar of.
// Private to this room.
#pragma once

#include <boost/json.hpp>

#include "prompt/schema_limits.h"

namespace om::prompt {

// `parameters` as they are where llama.cpp converts them. Else what it refuses is taken out of
// them: one tool of many must not refuse the request, and a hint less is no harm. Generators of
// schemas write such things (null for what is absent, boolean schemas, types of other languages,
// references that lead nowhere), and Ollama, which makes no grammar of tools, takes them. Of
// parameters that nothing helps an object of any form remains, as of those that go beyond what the
// request's tools may take together.
boost::json::value usable_parameters(const boost::json::value& parameters, SchemaBudget& budget);

}  // namespace om::prompt
