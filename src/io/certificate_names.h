// Whom a certificate (X.509) names, in the form that rooms compare. Any thread.
#pragma once

#include <openssl/x509.h>

#include <string>

#include "base/result.h"

namespace om::io {

// The subject's only common name. corrupt: there is none, more than one, or one with other than
// printable ASCII characters: a NUL would make two names look like one.
Result<std::string> common_name(const X509_NAME* subject);

// Lower-case hex digits, at least 32: serials of one length compare as numbers do.
std::string serial_text(const X509* certificate);

}  // namespace om::io
