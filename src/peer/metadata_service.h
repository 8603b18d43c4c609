// Lets nodes that are no voters ask this voter for the cluster's facts.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "http/server.h"
#include "io/world.h"
#include "metadata/shared_watches.h"

namespace om::peer {

class LineStream;

// Serves /peer/v1/metadata/*. A watch ends with not_leader if `metadata` reaches no majority for a
// few seconds, since another voter may still tell changes. It ends with corrupt if it asks for a
// revision that is still to come: the facts were restored. On the io thread; `stopping` ends
// watches. References outlive it; stop() must have returned before it is destroyed.
class MetadataService {
 public:
  MetadataService(io::World& world, metadata::Metadata& metadata, io::CancelToken stopping)
      : world_(world), metadata_(world, metadata), stopping_(std::move(stopping)) {}

  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);
  io::Task<void> stop() { return metadata_.stop(); }

 private:
  io::Task<Result<boost::json::object>> answer(std::string operation, boost::json::object question,
                                               io::Call call);
  io::Task<Result<void>> list(boost::json::object question, LineStream& out, io::Call call);
  io::Task<Result<void>> check_told(metadata::Revision from, io::Call call);
  io::Task<Result<void>> watch(boost::json::object question, LineStream& out, io::Call call);

  io::World& world_;
  metadata::SharedWatches metadata_;
  io::CancelToken stopping_;
};

}  // namespace om::peer
