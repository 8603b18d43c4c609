// Turns a folder of safetensors files into a GGUF with llama.cpp's converter.
#pragma once

#include <map>

#include "transfer/context.h"

namespace om::transfer {

// Writes `output`; `folder` is empty and in a workspace of its own. A user who may create a model
// must not run programs here: the converter gets data files only, nothing that makes its libraries
// load code or other files of this machine, and an environment without our secrets.
// unsupported: the converter or a Python package it needs is missing (the text names it), or it
// failed on a model that comes with code. internal: the converter failed, with its last lines.
io::Task<Result<void>> convert_safetensors(Context& context,
                                           const std::map<std::string, Digest>& files,
                                           io::Path folder, io::Path output, io::Call call);

}  // namespace om::transfer
