// The read side of the registry protocol (OCI distribution specification, v2 API), so that any
// machine can pull from this node what the node has:
//
//   GET|HEAD /v2/<namespace>/<model>/manifests/<tag or digest>
//   GET|HEAD /v2/<namespace>/<model>/blobs/<digest>
//
// register_mirror() in api.h adds the routes. A path means, in this order: (1) with one part more
// in front (/v2/hf.co/user/model/...), the model with that host in its name; (2) the model of the
// default registry; (3) the newest model of that namespace and name from any other host. With one
// part less (/v2/smollm2/...) the namespace is `library`.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om::api {

// A parsed path. Each part has been checked: it could be part of a model's name.
struct MirrorPath {
  enum class Kind { manifest, blob } kind = Kind::manifest;
  std::string host;  // Empty: any.
  std::string name_space, model;
  std::string reference;  // A tag or a digest.

  // `path` is what follows "/v2/". not_found: not a path of ours.
  static Result<MirrorPath> parse(std::string_view path);
};

}  // namespace om::api
