// The compiler cache sees no change of the embedded file, so it must stay out: ccache:disable
#include "api/openapi.h"

namespace om::api {

namespace {

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
constexpr unsigned char kDocument[] = {
#embed "../../docs/openapi.yaml"
};
#pragma clang diagnostic pop

io::Task<Result<void>> send_document(Context& context) {
  std::string document(openapi_document());
  co_return co_await context.send(200, "application/yaml", std::move(document));
}

}  // namespace

std::string_view openapi_document() {
  return {reinterpret_cast<const char*>(kDocument), sizeof kDocument};
}

void register_openapi(Router& router) {
  router.add("GET", "/openapi.yaml", ErrorShape::ollama, send_document);
}

}  // namespace om::api
