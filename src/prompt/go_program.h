// What a parsed Go template holds. Private to this room.
#pragma once

#include "prompt/go_ast.h"
#include "prompt/go_template.h"

namespace om::prompt {

struct GoTemplate::Program {
  go::Templates templates;  // The main one has the empty name.
};

}  // namespace om::prompt
