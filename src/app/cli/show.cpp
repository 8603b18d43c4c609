// show: a model's details as tables, or one part of them as it is.
#include <limits>

#include "app/cli/command.h"
#include "app/cli/terminal.h"
#include "base/duration.h"
#include "base/strings.h"

namespace om::app {

namespace json = boost::json;

namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr int kListColumns = 10;

// A titled block of rows, indented as Ollama does.
std::string block(std::string_view title, const Rows& rows) {
  if (rows.empty()) return "";
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  std::vector<int> widths(columns, 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out = fmt::format("  {}\n", title);
  for (const auto& row : rows) {
    out += "    ";
    for (size_t i = 0; i < row.size(); i++) {
      const int gap = widths[i] - display_width(row[i]) + 4;
      out += row[i] + std::string(static_cast<size_t>(gap), ' ');
    }
    out += "\n";
  }
  return out + "\n";
}

std::string scalar(const json::value& value) {
  if (value.is_string()) return std::string(value.as_string());
  if (value.is_double()) return fmt::format("{}", value.get_double());
  return json::serialize(value);
}

// The value of the first key with this ending; keys begin with the architecture.
std::string info(const json::object& model_info, std::string_view ending) {
  for (const auto& [key, value] : model_info) {
    if (std::string_view(key).ends_with(ending)) return scalar(value);
  }
  return "";
}

void add_row(Rows& rows, const char* name, std::string value) {
  if (!value.empty()) rows.push_back({name, std::move(value)});
}

Rows model_rows(const json::object& reply) {
  Rows rows;
  const json::value* details = reply.if_contains("details");
  const json::value* model_info = reply.if_contains("model_info");
  if (model_info != nullptr && model_info->is_object()) {
    const json::object& facts = model_info->as_object();
    add_row(rows, "architecture", info(facts, "general.architecture"));
    if (details != nullptr && details->is_object()) {
      add_row(rows, "parameters", text_of(details->as_object(), "parameter_size"));
    }
    add_row(rows, "context length", info(facts, ".context_length"));
    add_row(rows, "embedding length", info(facts, ".embedding_length"));
  }
  if (details != nullptr && details->is_object()) {
    add_row(rows, "quantization", text_of(details->as_object(), "quantization_level"));
  }
  add_row(rows, "requires", text_of(reply, "requires"));
  return rows;
}

Rows projector_rows(const json::object& facts) {
  Rows rows;
  add_row(rows, "architecture", info(facts, "general.architecture"));
  if (const auto count = parse_number<uint64_t>(info(facts, "general.parameter_count"))) {
    add_row(rows, "parameters", format_count(*count));
  }
  add_row(rows, "embedding length", info(facts, ".vision.embedding_length"));
  add_row(rows, "dimensions", info(facts, ".projection_dim"));
  return rows;
}

Rows parameter_rows(const std::string& parameters) {
  Rows rows;
  size_t start = 0;
  while (start < parameters.size()) {
    size_t end = parameters.find('\n', start);
    if (end == std::string::npos) end = parameters.size();
    const std::string line = parameters.substr(start, end - start);
    const size_t space = line.find(' ');
    if (space != std::string::npos) {
      const size_t value = line.find_first_not_of(' ', space);
      rows.push_back({line.substr(0, space), value == std::string::npos ? "" : line.substr(value)});
    }
    start = end + 1;
  }
  return rows;
}

Rows first_lines(const std::string& text, size_t count) {
  Rows rows;
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find('\n', start);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (rows.size() == count) {
      rows.push_back({"..."});
      break;
    }
    rows.push_back({line});
  }
  return rows;
}

// As many items as fit into so many columns, the first in any case, and how many more there are.
std::string list_text(const json::array& list, int columns) {
  std::string out = "[";
  int width = 1;
  for (size_t i = 0; i < list.size(); i++) {
    const std::string item = scalar(list[i]);
    width += display_width(item) + (i > 0 ? 2 : 0);
    if (width > columns && i > 0) return out + fmt::format(" ...+{} more]", list.size() - i);
    if (i > 0) out += ' ';
    out += item;
  }
  return out + "]";
}

std::string verbose_blocks(const json::object& reply) {
  Rows metadata, tensors;
  if (const json::value* facts = reply.if_contains("model_info"); facts && facts->is_object()) {
    for (const auto& [key, value] : facts->as_object()) {
      const json::array* list = value.if_array();
      metadata.push_back({std::string(key), list ? list_text(*list, kListColumns) : scalar(value)});
    }
  }
  std::ranges::sort(metadata);
  if (const json::value* list = reply.if_contains("tensors"); list && list->is_array()) {
    for (const json::value& entry : list->as_array()) {
      if (!entry.is_object()) continue;
      const json::object& tensor = entry.as_object();
      const json::value* found = tensor.if_contains("shape");
      const json::array* shape = found ? found->if_array() : nullptr;
      tensors.push_back({text_of(tensor, "name"), text_of(tensor, "type"),
                         shape ? list_text(*shape, std::numeric_limits<int>::max()) : "[]"});
    }
  }
  return block("Metadata", metadata) + block("Tensors", tensors);
}

std::string summary(const json::object& reply, bool verbose) {
  std::string out = block("Model", model_rows(reply));
  Rows capabilities;
  if (const json::value* list = reply.if_contains("capabilities"); list && list->is_array()) {
    for (const json::value& name : list->as_array()) capabilities.push_back({scalar(name)});
  }
  out += block("Capabilities", capabilities);
  if (const json::value* facts = reply.if_contains("projector_info"); facts && facts->is_object()) {
    out += block("Projector", projector_rows(facts->as_object()));
  }
  out += block("Parameters", parameter_rows(text_of(reply, "parameters")));
  if (verbose) out += verbose_blocks(reply);
  out += block("System", first_lines(text_of(reply, "system"), 2));
  out += block("License", first_lines(text_of(reply, "license"), 2));
  return out;
}

}  // namespace

CommandTask show_command(Cli& cli, ShowOptions options) {
  const std::array<std::pair<bool, const char*>, 5> parts{{{options.license, "license"},
                                                           {options.modelfile, "modelfile"},
                                                           {options.parameters, "parameters"},
                                                           {options.template_text, "template"},
                                                           {options.system, "system"}}};
  const auto chosen = std::count_if(parts.begin(), parts.end(), [](auto& p) { return p.first; });
  if (chosen > 1) {
    co_return fail(Errc::invalid_argument,
                   "only one of '--license', '--modelfile', '--parameters', '--system', or "
                   "'--template' can be specified");
  }
  json::object body;
  body["model"] = options.model;
  if (options.verbose) body["verbose"] = true;
  CO_TRY(const json::value reply, co_await cli.api.post("/api/show", std::move(body)));
  if (cli.json) {
    print_json(reply);
    co_return Result<void>{};
  }
  if (!reply.is_object()) co_return fail(Errc::corrupt, "the server's answer is no object");
  for (const auto& [wanted, key] : parts) {
    if (!wanted) continue;
    print(text_of(reply.as_object(), key));
    // A template or a system text goes into a file as it is.
    if (!options.template_text && !options.system) print("\n");
    co_return Result<void>{};
  }
  print(summary(reply.as_object(), options.verbose));
  co_return Result<void>{};
}

}  // namespace om::app
