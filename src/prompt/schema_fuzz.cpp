// Any schema may come with a request, as a format or with a tool. llama.cpp's converter, which was
// not made for hostile ones, sees what passes our check: it must not crash, hang or grow without
// bound.
#include "prompt/constraint.h"
#include "prompt/render.h"
#include "prompt/template_files_for_test.h"

namespace {

using namespace om;

// One that asks which types each parameter may have, and one that does not.
std::shared_ptr<const prompt::Template> real(const std::string& file) {
  return prompt::make_template({.jinja = prompt::llama_templates().at(file)}).value();
}

void render_with_tool(const prompt::Template& chosen, const boost::json::value& parameters) {
  prompt::ChatInput input{.messages = {{.role = "user", .content = "hi"}}};
  input.tools = {{{"function", {{"name", "f"}, {"parameters", parameters}}}}};
  const auto rendered = chosen.chat(input);
  (void)rendered.has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const auto coder = real("Qwen3-Coder.jinja"), small = real("Qwen-Qwen3-0.6B.jinja");
  std::string text(reinterpret_cast<const char*>(bytes), size);
  boost::json::parse_options options;
  options.max_depth = prompt::kSchemaDepthMax;
  boost::system::error_code error;
  const auto parameters = boost::json::parse(text, error, {}, options);
  if (!error) render_with_tool(size % 2 == 0 ? *coder : *small, parameters);
  const auto grammar = prompt::format_grammar({model::Format::Kind::schema, std::move(text)});
  (void)grammar.has_value();
  return 0;
}
