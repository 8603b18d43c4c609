// Sends one layer to a registry.
#pragma once

#include "model/manifest.h"
#include "transfer/file_body.h"
#include "transfer/registry.h"
#include "transfer/upload_table.h"

namespace om::transfer {

inline constexpr int kUploadTriesMax = 6;     // In a row that bring the registry no further.
inline constexpr int kUploadRestartsMax = 3;  // Of a layer of which the registry had something.

// HEAD; if absent POST (with mount where `from` says so), then PATCH part by part, or where the
// registry refuses PATCH one PUT. A 307 to a PATCH sends that part elsewhere by PUT.
//
// What breaks is tried again, after the registry was asked how much it has; so does a later push go
// on where this one ended, by what `uploads` remembers. A registry that has forgotten the upload,
// or that has us send the bytes elsewhere or in one piece, gets it all again.
io::Task<Result<void>> upload_layer(Registry& registry, UploadTable& uploads,
                                    const model::Layer& layer, UploadProgress& progress,
                                    io::Call call);

}  // namespace om::transfer
