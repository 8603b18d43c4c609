// A request of somebody outside the cluster to the API of one of its nodes.
#pragma once

#include "http/client.h"
#include "sim/cluster/node.h"

namespace om::sim {

inline http::ClientRequest request_to(const ClusterNode& node, std::string method,
                                      std::string target, std::string body) {
  http::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.endpoint = node.api();
  request.host = request.endpoint.str();
  request.headers.add("Content-Type", "application/json");
  request.body = std::move(body);
  return request;
}

}  // namespace om::sim
