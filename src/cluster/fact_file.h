// A node's copy on disk of the facts under one prefix: readable before any voter answers.
#pragma once

#include <map>
#include <string>

#include "io/filesystem.h"

namespace om::cluster {

using FactFile = std::map<std::string, std::string>;  // Keys without the prefix.

// not_found: none was written yet. corrupt: the file is damaged; the metadata still have the facts.
Result<FactFile> read_fact_file(io::Filesystem& files, const io::Path& path);
std::string fact_file_text(const FactFile& facts);  // What read_fact_file() reads.

}  // namespace om::cluster
