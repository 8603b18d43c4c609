#include "app/cli/config_command.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>

#include "app/cli/terminal.h"

namespace om::app {

ConfigPlace config_place(const std::string& flag) {
  if (!flag.empty()) return {flag, true};
  if (const char* variable = std::getenv("OLLAMAMAX_CONFIG"); variable && *variable != '\0') {
    return {variable, true};
  }
  const char* home = std::getenv("HOME");
  const std::string own = std::string(home != nullptr ? home : "/root") + "/.ollama/ollamamax.toml";
  if (::access(own.c_str(), F_OK) == 0) return {own, false};
  return {"/etc/ollamamax.toml", false};
}

std::string show_config(const Config& config, bool json) {
  const auto lines = config.view();
  if (json) {
    boost::json::array entries;
    for (const SettingView& line : lines) {
      boost::json::object entry;
      entry["key"] = line.key;
      entry["value"] = line.value;
      entry["from"] = line.from;
      entry["variable"] = line.variable;
      entry["help"] = line.help;
      entries.push_back(std::move(entry));
    }
    return boost::json::serialize(entries) + "\n";
  }
  std::vector<std::vector<std::string>> rows;
  rows.reserve(lines.size());
  for (const SettingView& line : lines) rows.push_back({line.key, line.value, line.from});
  return format_table({"KEY", "VALUE", "FROM"}, rows);
}

}  // namespace om::app
