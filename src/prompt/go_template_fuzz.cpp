// Any text may come as a template, from a registry or a request: it must not crash, hang or grow
// without bound.
#include "prompt/go_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace om::prompt;
  auto parsed = GoTemplate::parse({reinterpret_cast<const char*>(bytes), size});
  if (!parsed) return 0;
  static const Value data = Value::from_json(boost::json::parse(
      R"({"System":"s","Prompt":"p","Tools":[{"Function":{"Name":"f"}}],"Think":true,
          "Messages":[{"Role":"user","Content":"c"},{"Role":"assistant","ToolCalls":
                      [{"Function":{"Name":"f","Arguments":{}}}]}]})"));
  GoLimits limits{.output_bytes_max = 1 << 20, .steps_max = 20'000};
  auto out = parsed->execute(data, 0, limits);
  auto cut = parsed->cut_after("Response").execute(data, 0, limits);
  (void)out.has_value();
  (void)cut.has_value();
  (void)parsed->thinking_tags();
  (void)parsed->tool_call_tag();
  return 0;
}
