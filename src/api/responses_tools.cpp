#include "api/responses_tools.h"

#include <algorithm>

#include "api/openai_content.h"
#include "api/request_limits.h"
#include "model/json_text.h"

namespace om::api {

namespace json = boost::json;

namespace {

constexpr std::string_view kInput = "input";

bool is_done_by_the_service(std::string_view type) {
  return type.starts_with("web_search") || type == "image_generation" || type == "tool_search";
}

// What clients read strictly must be there.
json::value as_told(json::object tool) {
  if (tool.at("type") == "function") {
    tool.emplace("strict", nullptr);
    tool.emplace("parameters", nullptr);
  }
  return tool;
}

json::object custom_parameters() {
  return {{"type", "object"},
          {"properties", {{kInput, {{"type", "string"}}}}},
          {"required", json::array{kInput}}};
}

class Collector {
 public:
  // One tool of the list, or of a namespace's.
  Result<void> add(const Fields& tool, const json::object& written, std::string_view type,
                   std::string_view name_space) {
    TRY(const std::string name, tool.required_string("name"));
    json::object function = written;
    function.erase("type");
    if (type == "custom") {
      function.erase("format");
      function["parameters"] = custom_parameters();
    }
    if (type != "function" || !name_space.empty()) {
      const std::string known = name_space.empty() ? name : name_in_space(name_space, name);
      function["name"] = known;
      client_[known] = {name, std::string(name_space), type == "custom"};
    }
    wrapped_.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
    return {};
  }

  Result<void> add_namespace(const Fields& tool) {
    TRY(const std::string name, tool.required_string("name"));
    TRY(const json::array* inner, tool.array("tools"));
    for (size_t i = 0; inner && i < inner->size(); i++) {
      TRY(auto one, Fields::of((*inner)[i], fmt::format("{}[{}]", tool.where("tools"), i)));
      TRY(const std::string type, one.required_string("type"));
      if (type != "function" && type != "custom") return unsupported(one, type);
      TRY_VOID(add(one, (*inner)[i].get_object(), type, name));
    }
    return {};
  }

  Result<void> add_any(const Fields& tool, const json::object& written) {
    TRY(const std::string type, tool.required_string("type"));
    if (is_done_by_the_service(type)) return {};
    if (type == "namespace") {
      TRY_VOID(add_namespace(tool));
    } else if (type == "function" || type == "custom") {
      TRY_VOID(add(tool, written, type, ""));
    } else {
      return unsupported(tool, type);
    }
    told_.push_back(as_told(written));
    return {};
  }

  Result<ResponsesTools> take() {
    ResponsesTools tools;
    TRY_VOID(check_list_size(wrapped_, kToolsMax, "tools"));
    TRY(tools.functions, parse_openai_tools(wrapped_));
    tools.client = std::move(client_);
    tools.as_told = std::move(told_);
    for (const auto& [known, tool] : tools.client) {
      const auto same = [&known](const json::value& one) {
        return tool_function_name(one) == known;
      };
      if (std::ranges::count_if(tools.functions, same) > 1) {
        return fail(Errc::invalid_argument, "two tools are named \"{}\"", known);
      }
    }
    return tools;
  }

 private:
  static std::unexpected<Error> unsupported(const Fields& tool, std::string_view type) {
    return fail(Errc::invalid_argument, "'{}' is \"{}\", which is not supported",
                tool.where("type"), type);
  }

  json::array wrapped_, told_;
  ClientTools client_;
};

// The name that the model knows the tool by; one outside of a namespace goes before others.
std::string known_name(const ResponsesTools& tools, std::string_view name, bool is_custom) {
  const auto own = tools.client.find(name);
  const bool is_plain =
      own == tools.client.end() &&
      std::ranges::find(tools.functions, name, tool_function_name) != tools.functions.end();
  if (is_plain ? !is_custom : own != tools.client.end()) return std::string(name);
  for (const auto& [known, tool] : tools.client) {
    if (tool.name == name && tool.is_custom == is_custom) return known;
  }
  return std::string(name);
}

// A choice of one tool, a custom one too or one in a namespace, as a function known to the model.
Result<json::object> as_function(const json::object& object, std::string_view where,
                                 const ResponsesTools& tools) {
  const Fields fields(object, std::string(where));
  TRY(const auto type, fields.string("type"));
  TRY(const auto name, fields.string("name"));
  json::object words = object;
  if (type == "custom") words["type"] = "function";
  if (name) words["name"] = known_name(tools, *name, type == "custom");
  return words;
}

// Of those that the service would run itself the model is not told anyway.
Result<json::array> allowed_functions(const json::array& entries, const ResponsesTools& tools) {
  json::array functions;
  for (size_t i = 0; i < entries.size(); i++) {
    const std::string where = fmt::format("tool_choice.tools[{}]", i);
    TRY(auto entry, Fields::of(entries[i], where));
    TRY(const auto type, entry.required_string("type"));
    if (type != "function" && type != "custom") continue;
    TRY(auto function, as_function(entries[i].get_object(), where, tools));
    functions.emplace_back(std::move(function));
  }
  return functions;
}

Result<std::string> take_choice(const json::value& choice, ResponsesTools& tools) {
  const json::object* object = choice.if_object();
  if (!object) return take_openai_tool_choice(choice, tools.functions);
  TRY(auto words, as_function(*object, "tool_choice", tools));
  if (const json::value* entries = words.if_contains("tools"); entries && entries->is_array()) {
    TRY(auto functions, allowed_functions(entries->get_array(), tools));
    words["tools"] = std::move(functions);
  }
  return take_openai_tool_choice(words, tools.functions);
}

}  // namespace

Result<ResponsesTools> parse_responses_tools(const Fields& request) {
  TRY(const json::array* given, request.array("tools"));
  Collector collector;
  if (given) {
    TRY_VOID(check_list_size(*given, kToolsMax, "tools"));
    for (size_t i = 0; i < given->size(); i++) {
      TRY(auto tool, Fields::of((*given)[i], fmt::format("tools[{}]", i)));
      TRY_VOID(collector.add_any(tool, (*given)[i].get_object()));
    }
  }
  TRY(auto tools, collector.take());
  if (const json::value* choice = request.find("tool_choice")) {
    TRY(tools.choice, take_choice(*choice, tools));
  }
  return tools;
}

std::string name_in_space(std::string_view name_space, std::string_view name) {
  return fmt::format("{}{}{}", name_space, name_space.ends_with("__") ? "" : "__", name);
}

std::string custom_arguments(std::string_view input) {
  return model::write_json(json::object{{kInput, input}});
}

std::string custom_input(std::string_view arguments) {
  boost::system::error_code failed;
  const json::value value = json::parse(arguments, failed);
  const json::object* object = failed ? nullptr : value.if_object();
  const json::value* input = object ? object->if_contains(kInput) : nullptr;
  return input && input->is_string() ? std::string(input->get_string()) : std::string(arguments);
}

}  // namespace om::api
