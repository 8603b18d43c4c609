// Content codings of RFC 9110 section 8.4: gzip and zstd.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace om::http {

// `coding`: a Content-Encoding header, "gzip", "x-gzip", "zstd", "deflate" or a list of at most
// two. overloaded: the result is larger than `size_max`, found out before more than that was made.
// invalid_argument: broken bytes. unsupported (415): another coding. May run on any thread.
Result<std::string> decode_content(std::string_view coding, std::string_view data,
                                   uint64_t size_max);

// True if an Accept-Encoding header allows gzip (RFC 9110 section 12.5.3, with weights).
bool accepts_gzip(const Headers& request_headers);

// The body as gzip if the client takes it, the type is text and it is large enough to gain by it;
// nothing if it should go as it is. Of use for documents and lists, not for streams.
std::optional<std::string> gzip_if_useful(const Headers& request_headers,
                                          std::string_view content_type, std::string_view body);

}  // namespace om::http
