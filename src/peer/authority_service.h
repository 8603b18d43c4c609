// Hands the authority's key to a new voter, since voters give certificates.
#pragma once

#include <string>
#include <string_view>

#include "security/authority.h"

namespace om::peer {

// GET, over mutual TLS; answered to members whose record says that they are voters.
inline constexpr std::string_view kAuthorityPath = "/peer/v1/authority";

std::string write_authority(const security::Authority& authority);
Result<security::Authority> read_authority(std::string_view json);  // corrupt.

}  // namespace om::peer
