// Sends one layer to a registry.
#pragma once

#include "model/manifest.h"
#include "transfer/registry.h"

namespace om::transfer {

inline constexpr uint64_t kPartBytesMin = 100'000'000, kPartBytesMax = 1'000'000'000;
inline constexpr int kUploadTriesMax = 4;

// HEAD; if absent POST (with mount where `from` says so), then PATCH part by part, or where the
// registry refuses PATCH one PUT. A 307 to a PATCH sends that part elsewhere by PUT. An upload that
// breaks starts again, kUploadTriesMax times.
io::Task<Result<void>> upload_layer(Registry& registry, const model::Layer& layer,
                                    const ProgressSink& sink, io::Call call);

}  // namespace om::transfer
