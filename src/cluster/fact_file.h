// What a node keeps on its disk of one prefix of the facts: readable before anybody answers.
#pragma once

#include <map>
#include <string>

#include "io/filesystem.h"

namespace om::cluster {

using FactFile = std::map<std::string, std::string>;  // Keys without the prefix.

// not_found: none was written yet. corrupt: it is damaged; the metadata have it all.
Result<FactFile> read_fact_file(io::Filesystem& files, const io::Path& path);
std::string fact_file_text(const FactFile& facts);  // What read_fact_file() reads.

}  // namespace om::cluster
