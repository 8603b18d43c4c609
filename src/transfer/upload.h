// Sends one layer to a registry.
#pragma once

#include "model/manifest.h"
#include "transfer/file_body.h"
#include "transfer/registry.h"
#include "transfer/upload_table.h"

namespace om::transfer {

inline constexpr int kUploadTriesMax = 6;     // In a row without progress.
inline constexpr int kUploadRestartsMax = 3;  // From the start, although some had arrived.

// HEAD; if absent POST (with mount if the layer's `from` says so), then PATCH part by part, or one
// PUT if the registry refuses PATCH. A 307 to a PATCH sends that part elsewhere by PUT.
//
// After a break the registry is asked how much it has, and the upload goes on there; so does a
// later push, by what `uploads` remembers. If the registry has forgotten the upload, or takes the
// bytes elsewhere or in one piece, everything is sent again.
io::Task<Result<void>> upload_layer(Registry& registry, UploadTable& uploads,
                                    const model::Layer& layer, UploadProgress& progress,
                                    io::Call call);

}  // namespace om::transfer
