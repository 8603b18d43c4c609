// Lets nodes that keep no copy of the cluster's facts ask this one, a voter.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "http/server.h"
#include "io/world.h"
#include "metadata/metadata.h"

namespace om::peer {

class LineStream;

// Serves /peer/v1/metadata/*. On the io thread; `stopping` ends watches. References outlive it.
class MetadataService {
 public:
  MetadataService(io::World& world, metadata::Metadata& metadata, io::CancelToken stopping)
      : world_(world), metadata_(metadata), stopping_(std::move(stopping)) {}

  io::Task<void> handle(http::Request& request, http::BodyReader& body,
                        http::ResponseWriter& response);

 private:
  io::Task<Result<boost::json::object>> answer(std::string operation, boost::json::object question,
                                               io::Call call);
  io::Task<Result<void>> watch(boost::json::object question, LineStream& out, io::Call call);

  io::World& world_;
  metadata::Metadata& metadata_;
  io::CancelToken stopping_;
};

}  // namespace om::peer
