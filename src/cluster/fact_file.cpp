#include "cluster/fact_file.h"

#include <boost/json.hpp>

namespace om::cluster {
namespace {

namespace json = boost::json;

constexpr uint64_t kFileBytesMax = 512ull << 20;

}  // namespace

Result<FactFile> read_fact_file(io::Filesystem& files, const io::Path& path) {
  TRY(const std::string text, files.read_file(path, kFileBytesMax));
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  if (failed || !value.is_object()) {
    return fail(Errc::corrupt, "{}: no copy of a cluster's facts", path);
  }
  FactFile facts;
  for (const auto& [key, fact] : value.get_object()) {
    if (fact.is_string()) facts.emplace(key, fact.get_string());
  }
  return facts;
}

std::string fact_file_text(const FactFile& facts) {
  json::object object;
  for (const auto& [key, fact] : facts) object[key] = fact;
  return json::serialize(object);
}

}  // namespace om::cluster
