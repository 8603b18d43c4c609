// pin and unpin.
#include "app/cli/command.h"
#include "app/cli/terminal.h"
#include "base/json_fields.h"

namespace om::app {

namespace json = boost::json;

namespace {

CommandTask list_pins(Cli& cli) {
  CO_TRY(const json::value reply, co_await cli.api.get("/api/v1/pin"));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  std::vector<std::vector<std::string>> rows;
  if (const json::array* pins = JsonFields(reply.get_object()).array("pins")) {
    for (const json::value& pin : *pins) {
      if (!pin.is_object()) continue;
      const json::object& fields = pin.get_object();
      std::string state = text_of(fields, "state");
      if (const std::string error = text_of(fields, "error"); !error.empty()) state += ": " + error;
      rows.push_back({text_of(fields, "model"), text_of(fields, "node"), std::move(state)});
    }
  }
  const std::vector<std::string> header{"NAME", "NODE", "STATE"};
  print(format_table(header, rows));
  co_return Result<void>{};
}

CommandTask change_pin(Cli& cli, PinOptions options, bool pinned) {
  json::object body{{"model", options.model}, {"pinned", pinned}};
  if (!options.node.empty()) body["node"] = options.node;
  CO_TRY(const json::value reply, co_await cli.api.post("/api/v1/pin", std::move(body)));
  if (cli.json || !reply.is_object()) {
    print_json(reply);
    co_return Result<void>{};
  }
  const std::vector<std::string> nodes = JsonFields(reply.get_object()).texts("nodes");
  print(fmt::format("{} '{}' on {}\n", pinned ? "pinned" : "unpinned", options.model,
                    fmt::join(nodes, ", ")));
  co_return Result<void>{};
}

}  // namespace

CommandTask pin_command(Cli& cli, PinOptions options) {
  if (options.model.empty()) return list_pins(cli);
  return change_pin(cli, std::move(options), true);
}

CommandTask unpin_command(Cli& cli, PinOptions options) {
  return change_pin(cli, std::move(options), false);
}

}  // namespace om::app
