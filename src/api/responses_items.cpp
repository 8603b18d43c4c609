#include "api/responses_items.h"

#include "base/check.h"
#include "base/json_fields.h"

namespace om::api {

namespace json = boost::json;

namespace {

// The id, if it is a reference. One may be without a type; every other item has a type or a role.
std::string referred_id(const json::value& item) {
  const json::object* object = item.if_object();
  if (!object || object->contains("role")) return {};
  const JsonFields fields(*object);
  const std::string type = fields.text("type");
  return type.empty() || type == "item_reference" ? fields.text("id") : "";
}

}  // namespace

void ResponseItems::keep(std::string id, std::string item) {
  const size_t bytes = id.size() + item.size();
  items_.put(id, std::move(item), bytes);
}

Result<void> ResponseItems::resolve(json::object& body) {
  json::value* input = body.if_contains("input");
  if (!input || !input->is_array()) return {};
  json::array& items = input->get_array();
  for (size_t i = 0; i < items.size(); i++) {
    const std::string id = referred_id(items[i]);
    if (id.empty()) continue;
    const std::string* known = items_.get(id);
    if (!known) {
      return fail(Errc::invalid_argument,
                  "'input[{}]' refers to the item '{}', which is not known here: items are kept "
                  "for a while, by the node that made them; send the whole input (in most clients: "
                  "set store to false)",
                  i, id);
    }
    boost::system::error_code failed;
    items[i] = json::parse(*known, failed, items.storage());
    CHECK(!failed, "we wrote the item ourselves");
  }
  return {};
}

}  // namespace om::api
