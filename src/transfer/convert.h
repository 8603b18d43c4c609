// Turns a folder of safetensors files into a GGUF with llama.cpp's converter.
#pragma once

#include <map>

#include "transfer/context.h"

namespace om::transfer {

// Writes `output`. unsupported: the converter or a Python package it needs is missing (the text
// names it). internal: the converter failed, with its last lines.
io::Task<Result<void>> convert_safetensors(Context& context,
                                           const std::map<std::string, Digest>& files,
                                           io::Path folder, io::Path output, io::Call call);

}  // namespace om::transfer
