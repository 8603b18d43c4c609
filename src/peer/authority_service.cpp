#include "peer/authority_service.h"

#include <boost/json.hpp>

#include "base/json_fields.h"
#include "model/json_text.h"

namespace om::peer {

std::string write_authority(const security::Authority& authority) {
  return boost::json::serialize(
      boost::json::object{{"certificate", authority.certificate}, {"key", authority.key.reveal()}});
}

Result<security::Authority> read_authority(std::string_view text) {
  TRY(const boost::json::object object, model::parse_json_object(text, "authority"));
  const JsonFields fields(object);
  security::Authority authority{fields.text("certificate"), security::Secret(fields.text("key"))};
  if (authority.certificate.empty() || authority.key.empty()) {
    return fail(Errc::corrupt, "the authority's key did not come whole");
  }
  return authority;
}

}  // namespace om::peer
