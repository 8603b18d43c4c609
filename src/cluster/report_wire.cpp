#include "cluster/report_wire.h"

#include <algorithm>

#include "base/json_fields.h"

namespace om::cluster {
namespace {

namespace json = boost::json;

constexpr size_t kRunnersMax = 1024;
constexpr size_t kBlobsMax = 100'000;
constexpr size_t kPartsMax = 32;
constexpr size_t kCopyingMax = 256;
constexpr size_t kDemandsMax = 1024;

// What stands in every runner's report as it is, under its name, for the writer and the reader.
template <class Runner, class Each>
void each_field(Runner& runner, Each&& each) {
  each("context_length", runner.context_length);
  each("slots", runner.slots);
  each("running", runner.running);
  each("queued", runner.queued);
  each("size_bytes", runner.size_bytes);
  each("loading", runner.loading);
  each("load_progress", runner.load_progress);
  each("graphics_bytes", runner.graphics_bytes);
  each("on_card", runner.on_card);
  each("output_rate", runner.output_rate);
  each("prompt_rate", runner.prompt_rate);
  each("pending_prompt_tokens", runner.pending_prompt_tokens);
  each("pinned", runner.pinned);
  each("value", runner.value);
}

json::object encode_runner(const RunnerInfo& runner) {
  json::object object{{"model", runner.model},
                      {"manifest", runner.manifest.str()},
                      {"stopping", runner.stopping},
                      {"weights", runner.key.str()}};
  each_field(runner, [&](auto name, auto value) { object[name] = value; });
  if (runner.rates_are_old) object["rates_are_old"] = true;
  if (runner.expires_ms) object["expires_ms"] = *runner.expires_ms;
  if (!runner.part_of.empty()) object["part_of"] = runner.part_of;
  if (!runner.parts.empty()) {
    json::array parts;
    for (const RunnerInfo::Part& part : runner.parts) {
      parts.push_back(json::object{{"node", part.node}, {"bytes", part.bytes}});
    }
    object["parts"] = std::move(parts);
  }
  return object;
}

std::optional<RunnerInfo> decode_runner(const json::value& value) {
  if (!value.is_object()) return std::nullopt;
  const JsonFields fields(value.get_object());
  const auto key = Digest::parse(fields.text("weights"));
  if (!key) return std::nullopt;
  RunnerInfo runner;
  runner.key = *key;
  fields.read("model", runner.model);
  if (const auto manifest = Digest::parse(fields.text("manifest"))) runner.manifest = *manifest;
  fields.read("stopping", runner.stopping);
  each_field(runner, [&](auto name, auto& value) { fields.read(name, value); });
  fields.read("rates_are_old", runner.rates_are_old);
  fields.read("expires_ms", runner.expires_ms);
  fields.read("part_of", runner.part_of);
  if (const json::array* parts = fields.array("parts")) {
    for (const json::value& part : *parts) {
      if (runner.parts.size() >= kPartsMax || !part.is_object()) break;
      const JsonFields told(part.get_object());
      RunnerInfo::Part& added = runner.parts.emplace_back();
      told.read("node", added.node);
      told.read("bytes", added.bytes);
    }
  }
  return runner;
}

json::array encode_copying(const std::vector<CopyProgress>& copying) {
  json::array array;
  for (const CopyProgress& copy : copying) {
    array.push_back(json::object{
        {"model", copy.model}, {"done", copy.done_bytes}, {"total", copy.total_bytes}});
  }
  return array;
}

std::vector<CopyProgress> decode_copying(const json::array& array) {
  std::vector<CopyProgress> copying;
  for (const json::value& value : array) {
    if (copying.size() >= kCopyingMax) break;
    if (!value.is_object()) continue;
    const JsonFields fields(value.get_object());
    CopyProgress copy;
    fields.read("model", copy.model);
    fields.read("done", copy.done_bytes);
    fields.read("total", copy.total_bytes);
    copying.push_back(std::move(copy));
  }
  return copying;
}

json::array encode_demand(const NodeInfo& node) {
  json::array list;
  for (const ModelDemand& demand : node.demand) {
    list.push_back(json::object{{"weights", demand.key.str()},
                                {"requests", demand.requests},
                                {"wait_seconds", demand.wait_seconds},
                                {"lost_hits", demand.lost_hits}});
  }
  return list;
}

std::vector<ModelDemand> decode_demand(const json::array& array) {
  std::vector<ModelDemand> demands;
  for (const json::value& value : array) {
    if (demands.size() >= kDemandsMax || !value.is_object()) break;
    const JsonFields fields(value.get_object());
    const auto key = Digest::parse(fields.text("weights"));
    if (!key) continue;
    ModelDemand& demand = demands.emplace_back();
    demand.key = *key;
    fields.read("requests", demand.requests);
    fields.read("wait_seconds", demand.wait_seconds);
    fields.read("lost_hits", demand.lost_hits);
  }
  return demands;
}

std::shared_ptr<const std::vector<Digest>> decode_blobs(const json::array& array) {
  auto blobs = std::make_shared<std::vector<Digest>>();
  for (const json::value& value : array) {
    if (blobs->size() >= kBlobsMax || !value.is_string()) break;
    if (const auto digest = Digest::parse(value.get_string())) blobs->push_back(*digest);
  }
  std::ranges::sort(*blobs);
  return blobs;
}

json::array encode_blobs(const NodeInfo& node) {
  json::array blobs;
  if (node.blobs) {
    for (const Digest& digest : *node.blobs) blobs.emplace_back(digest.str());
  }
  return blobs;
}

json::object report_of(const NodeInfo& node) {
  json::array runners;
  for (const RunnerInfo& runner : node.runners) runners.push_back(encode_runner(runner));
  json::object report{{"state", to_string(node.state)},
                      {"memory_total", node.memory_total},
                      {"memory_used", node.memory_used},
                      {"graphics_total", node.graphics_total},
                      {"graphics_used", node.graphics_used},
                      {"disk_free", node.disk_free},
                      {"cores", node.cores},
                      {"processors", node.processors},
                      {"load_rate", node.load_rate},
                      {"copy_rate", node.copy_rate},
                      {"runners", std::move(runners)}};
  if (!node.reaches_majority) report["majority"] = false;
  if (!node.copying.empty()) report["copying"] = encode_copying(node.copying);
  if (!node.demand.empty()) report["demand"] = encode_demand(node);
  return report;
}

}  // namespace

std::string_view to_string(NodeState state) {
  switch (state) {
    case NodeState::joining:
      return "joining";
    case NodeState::ready:
      return "ready";
    case NodeState::draining:
      return "draining";
    case NodeState::unreachable:
      return "unreachable";
  }
  return "unknown";
}

std::string encode_report(const NodeInfo& node, bool with_blobs) {
  json::object report = report_of(node);
  if (with_blobs) report["blobs"] = encode_blobs(node);
  return json::serialize(report);
}

std::string encode_told_report(const NodeInfo& node) {
  json::object report = report_of(node);
  report["name"] = node.name;
  report["ramp"] = node.ramp;
  return json::serialize(report);
}

std::string encode_told_blobs(const NodeInfo& node) {
  return json::serialize(json::object{{"name", node.name}, {"blobs", encode_blobs(node)}});
}

std::string told_node(const json::object& line) { return JsonFields(line).text("name"); }

NodeInfo decode_told(const json::object& line, NodeInfo known) {
  const JsonFields fields(line);
  if (!line.contains("state")) {
    if (const json::array* blobs = fields.array("blobs")) known.blobs = decode_blobs(*blobs);
    return known;
  }
  known = decode_report(line, std::move(known));
  if (fields.text("state") == "unreachable") known.state = NodeState::unreachable;
  known.ramp = 1;
  fields.read("ramp", known.ramp);
  known.ramp = std::clamp(known.ramp, 0.0, 1.0);
  return known;
}

NodeInfo decode_report(const json::object& report, NodeInfo known) {
  const JsonFields fields(report);
  // A word of a newer version's: reachable, and not to be given work.
  const std::string state = fields.text("state");
  known.state = state.empty() || state == "ready" ? NodeState::ready : NodeState::draining;
  fields.read("memory_total", known.memory_total);
  fields.read("memory_used", known.memory_used);
  fields.read("graphics_total", known.graphics_total);
  fields.read("graphics_used", known.graphics_used);
  fields.read("disk_free", known.disk_free);
  fields.read("cores", known.cores);
  fields.read("processors", known.processors);
  known.reaches_majority = true;
  fields.read("majority", known.reaches_majority);
  const json::array* copying = fields.array("copying");
  known.copying = copying ? decode_copying(*copying) : std::vector<CopyProgress>();
  fields.read("load_rate", known.load_rate);
  fields.read("copy_rate", known.copy_rate);
  known.runners.clear();
  known.demand.clear();
  if (const json::array* demand = fields.array("demand")) known.demand = decode_demand(*demand);
  if (const json::array* runners = fields.array("runners")) {
    for (const json::value& value : *runners) {
      if (known.runners.size() >= kRunnersMax) break;
      if (auto runner = decode_runner(value)) known.runners.push_back(std::move(*runner));
    }
  }
  if (const json::array* blobs = fields.array("blobs")) known.blobs = decode_blobs(*blobs);
  return known;
}

}  // namespace om::cluster
