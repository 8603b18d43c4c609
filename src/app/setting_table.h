// The table of all settings: one row each, so that file, environment, `config show`, `config
// generate` and the documentation cannot disagree.
#pragma once

#include <span>

#include "app/settings.h"

namespace om::app {

// One value as TOML knows it.
using SettingValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;

struct SettingRow {
  std::string_view key;       // "section.name".
  std::string_view variable;  // Environment variable, or empty.
  std::string_view help;
  // Writes the value; invalid_argument says what would be right.
  Result<void> (*set)(Settings&, const SettingValue&);
  SettingValue (*get)(const Settings&);
  // Turns the variable's text into a value; absent: by the type of the current value.
  Result<SettingValue> (*from_environment)(std::string_view) = nullptr;
};

std::span<const SettingRow> setting_table();
const SettingRow* find_setting(std::string_view key);  // Null: there is none.
// That there is no such key, with the nearest one there is.
std::unexpected<Error> unknown_setting(std::string_view key);

}  // namespace om::app
