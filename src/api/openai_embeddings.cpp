// Replies of /v1/embeddings.
#include <bit>
#include <cmath>

#include "api/json_input.h"
#include "api/openai_reply.h"
#include "base/base64.h"
#include "model/json_text.h"

namespace om::api {

namespace {

void write_floats(std::string& out, const std::vector<float>& vector) {
  out += '[';
  for (size_t i = 0; i < vector.size(); i++) {
    if (i > 0) out += ',';
    // The shortest text that gives the same float32 again. JSON knows no NaN.
    if (std::isfinite(vector[i])) {
      fmt::format_to(std::back_inserter(out), "{}", vector[i]);
    } else {
      out += "null";
    }
  }
  out += ']';
}

void write_base64(std::string& out, const std::vector<float>& vector) {
  static_assert(std::endian::native == std::endian::little);
  std::string_view bytes(reinterpret_cast<const char*>(vector.data()),
                         vector.size() * sizeof(float));
  out += '"';
  out += base64_encode(bytes);
  out += '"';
}

}  // namespace

std::string embeddings_reply(std::string_view model, const model::Embedding& embedding,
                             bool base64) {
  std::string out = R"({"object":"list","data":[)";
  for (size_t i = 0; i < embedding.vectors.size(); i++) {
    out += i > 0 ? "," : "";
    out += R"({"object":"embedding","embedding":)";
    if (base64) {
      write_base64(out, embedding.vectors[i]);
    } else {
      write_floats(out, embedding.vectors[i]);
    }
    out += fmt::format(R"(,"index":{}}})", i);
  }
  out += R"(],"model":)";
  model::write_json_string(out, model);
  out += fmt::format(R"(,"usage":{{"prompt_tokens":{0},"total_tokens":{0}}}}})",
                     embedding.prompt_tokens);
  return out;
}

}  // namespace om::api
