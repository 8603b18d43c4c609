// The part of Config that reads TOML: apart, because the library is long to compile.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "app/setting_table.h"

namespace om::app {
namespace {

Result<SettingValue> from_toml(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<int64_t>()) return *number;
  if (const auto flag = node.value_exact<bool>()) return *flag;
  const auto* list = node.as_array();
  if (list == nullptr) {
    return fail(Errc::invalid_argument, "expected a string, number, boolean or list of strings");
  }
  std::vector<std::string> items;
  for (const auto& item : *list) {
    const auto text = item.value_exact<std::string>();
    if (!text) return fail(Errc::invalid_argument, "expected a list of strings");
    items.push_back(*text);
  }
  return items;
}

struct Found {
  const SettingRow* row = nullptr;
  SettingValue value;
  uint32_t line = 0;
};

Result<void> collect(const toml::table& table, const std::string& prefix, std::string_view path,
                     std::vector<Found>& found) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const uint32_t line = node.source().begin.line;
    const auto where = fmt::format("{}:{}", path, line);
    if (const auto* inner = node.as_table()) {
      TRY_VOID(collect(*inner, key + ".", path, found));
      continue;
    }
    const SettingRow* row = find_setting(key);
    if (row == nullptr) return fail(annotate(unknown_setting(key).error(), where));
    auto value = from_toml(node);
    if (!value) return fail(annotate(value.error(), fmt::format("{}: {}", where, key)));
    found.push_back({row, std::move(*value), line});
  }
  return {};
}

}  // namespace

Result<void> Config::apply_file(std::string_view text, std::string_view path) {
  const auto parsed = toml::parse(text, path);
  if (!parsed) {
    return fail(Errc::invalid_argument, "{}:{}: {}", path, parsed.error().source().begin.line,
                parsed.error().description());
  }
  std::vector<Found> found;
  TRY_VOID(collect(parsed.table(), "", path, found));
  Settings changed = settings_;
  for (const Found& item : found) {
    const auto set = item.row->set(changed, item.value);
    if (!set) {
      const auto where = fmt::format("{}:{}: {}", path, item.line, item.row->key);
      return fail(annotate(set.error(), where));
    }
  }
  settings_ = std::move(changed);
  for (const Found& item : found) {
    const auto from = fmt::format("{}:{}", path, item.line);
    origins_.insert_or_assign(std::string(item.row->key), Origin{Source::file, from});
  }
  return {};
}

}  // namespace om::app
