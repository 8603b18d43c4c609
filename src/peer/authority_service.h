// Hands the authority's key to a node that was chosen to be a voter: voters give certificates.
#pragma once

#include <string>
#include <string_view>

#include "security/authority.h"

namespace om::peer {

// GET; answered to members whose record says that they are to vote, over mutual TLS.
inline constexpr std::string_view kAuthorityPath = "/peer/v1/authority";

std::string write_authority(const security::Authority& authority);
Result<security::Authority> read_authority(std::string_view json);  // corrupt.

}  // namespace om::peer
