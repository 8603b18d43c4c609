// Any schema may come with a request. llama.cpp's converter, which was not made for hostile ones,
// sees what passes our check: it must not crash, hang or grow without bound.
#include "prompt/constraint.h"
#include "prompt/tool_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace om;
  std::string text(reinterpret_cast<const char*>(bytes), size);
  boost::system::error_code error;
  const auto parameters = boost::json::parse(text, error);
  if (!error) prompt::usable_parameters(parameters);
  const auto grammar = prompt::format_grammar({model::Format::Kind::schema, std::move(text)});
  (void)grammar.has_value();
  return 0;
}
