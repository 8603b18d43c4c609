#include "cluster/pin_table.h"

#include <algorithm>
#include <span>

#include "model/name.h"

namespace om::cluster {
namespace {

std::string key_of(const Pin& pin) { return pin.node + "/" + pin.model; }

}  // namespace

// NODE/HOST/NAMESPACE/MODEL:TAG. A node by itself may be called anything, also with a slash.
std::optional<Pin> read_pin(std::string_view key) {
  size_t slash = key.size();
  for (int parts = 0; parts < 3; parts++) {
    if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
    slash = key.rfind('/', slash - 1);
  }
  if (slash == 0 || slash == std::string_view::npos) return std::nullopt;
  Pin pin{std::string(key.substr(0, slash)), std::string(key.substr(slash + 1))};
  const auto name = model::Name::parse(pin.model);
  if (!name || name->str() != pin.model) return std::nullopt;
  return pin;
}

PinTable::PinTable(io::World& world, metadata::Metadata& metadata, std::string self, io::Path copy,
                   HasNode has_node)
    : metadata_(metadata),
      self_(std::move(self)),
      has_node_(std::move(has_node)),
      facts_(world, metadata, std::string(kPinsPrefix), std::move(copy)) {}

void PinTable::on_change(std::function<void()> callback) {
  facts_.on_change(
      [callback = std::move(callback)](const std::string&, const std::string*) { callback(); });
}

std::vector<Pin> PinTable::list() const {
  std::vector<Pin> pins;
  for (const auto& [key, fact] : facts_.facts()) {
    if (auto pin = read_pin(key)) pins.push_back(std::move(*pin));
  }
  return pins;
}

std::vector<std::string> PinTable::own() const {
  std::vector<std::string> models;
  for (Pin& pin : list()) {
    if (pin.node == self_) models.push_back(std::move(pin.model));
  }
  return models;
}

io::Task<Result<void>> PinTable::change(std::vector<Pin> pins, bool pinned, io::Call call) {
  const std::string value = "{}";
  std::erase_if(pins,
                [&](const Pin& pin) { return (facts_.find(key_of(pin)) != nullptr) == pinned; });
  while (!pins.empty()) {
    const size_t count = std::min(pins.size(), metadata::kOperationsMax);
    metadata::Transaction transaction;
    for (const Pin& pin : std::span(pins).first(count)) {
      std::string key = std::string(kPinsPrefix) + key_of(pin);
      transaction.operations.push_back(pinned ? metadata::Operation::put(std::move(key), value)
                                              : metadata::Operation::remove(std::move(key)));
    }
    CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), call));
    for (const Pin& pin : std::span(pins).first(count)) {
      facts_.apply(key_of(pin), pinned ? &value : nullptr, commit.revision);
    }
    pins.erase(pins.begin(), pins.begin() + static_cast<std::ptrdiff_t>(count));
  }
  co_return Result<void>{};
}

io::Task<Result<void>> PinTable::add(std::vector<Pin> pins, io::Call call) {
  if (facts_.facts().size() + pins.size() > kPinsMax) {
    co_return fail(Errc::overloaded, "at most {} models are pinned", kPinsMax);
  }
  for (const Pin& pin : pins) {
    if (pin.node == self_ || (has_node_ && has_node_(pin.node))) continue;
    co_return fail(Errc::not_found, "no node is called '{}'", pin.node);
  }
  co_return co_await change(std::move(pins), true, std::move(call));
}

io::Task<Result<void>> PinTable::remove(std::vector<Pin> pins, io::Call call) {
  return change(std::move(pins), false, std::move(call));
}

io::Task<Result<void>> PinTable::remove_model(std::string model, io::Call call) {
  std::vector<Pin> pins = list();
  std::erase_if(pins, [&](const Pin& pin) { return pin.model != model; });
  return change(std::move(pins), false, std::move(call));
}

io::Task<Result<void>> PinTable::adopt(const metadata::Snapshot& own, const Renamed& renamed,
                                       io::Call call) {
  CO_TRY_VOID(co_await wait_synced(call));
  std::vector<Pin> pins;
  for (const metadata::Entry& entry : own.entries) {
    if (!entry.key.starts_with(kPinsPrefix)) continue;
    const auto pin = read_pin(std::string_view(entry.key).substr(kPinsPrefix.size()));
    if (!pin) continue;
    const auto other = renamed.find(pin->model);
    pins.push_back({self_, other == renamed.end() ? pin->model : other->second});
  }
  co_return co_await add(std::move(pins), call);
}

io::Task<Result<void>> PinTable::take_over(io::Call call) {
  CO_TRY_VOID(co_await wait_synced(call));
  std::vector<Pin> others = list(), pins;
  std::erase_if(others, [this](const Pin& pin) { return pin.node == self_; });
  for (const Pin& pin : others) pins.push_back({self_, pin.model});
  CO_TRY_VOID(co_await add(std::move(pins), call));
  co_return co_await remove(std::move(others), call);
}

}  // namespace om::cluster
