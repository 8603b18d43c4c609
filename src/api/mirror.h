// The read side of the registry protocol (OCI distribution specification, v2 API), so that any
// machine can pull from this node what the node has:
//
//   GET|HEAD /v2/<namespace>/<model>/manifests/<tag or digest>
//   GET|HEAD /v2/<namespace>/<model>/blobs/<digest>
//
// register_mirror() in api.h adds the routes. Which stored model such a path means, in this order:
// (1) with a part more in front (/v2/hf.co/user/model/...), that part is the host of the model's
// name; (2) the model of the default registry; (3) the newest one of that namespace and model from
// any other host. One part alone (/v2/smollm2/...) is in `library`.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace om::api {

// What such a path asks for. The parts are checked: each could be part of a model's name.
struct MirrorPath {
  enum class Kind { manifest, blob } kind = Kind::manifest;
  std::string host;  // Empty: any.
  std::string name_space, model;
  std::string reference;  // A tag or a digest.

  // `path` is what follows "/v2/". not_found: not a path of ours.
  static Result<MirrorPath> parse(std::string_view path);
};

}  // namespace om::api
