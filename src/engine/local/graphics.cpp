#include "engine/local/graphics.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "base/json_fields.h"

namespace om::engine {
namespace {

constexpr size_t kLinesMax = 1000;
constexpr std::chrono::seconds kAskMax{10};

}  // namespace

std::optional<GraphicsCard> parse_card(std::string_view line) {
  if (!line.starts_with('{')) return std::nullopt;
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(line, error);
  if (error || !value.is_object()) return std::nullopt;
  const JsonFields fields(value.get_object());
  const std::string type = fields.text("type");
  if (type != "gpu" && type != "igpu") return std::nullopt;
  GraphicsCard card;
  card.name = fields.text("name");
  card.description = fields.text("description");
  card.integrated = type == "igpu";
  fields.read("total", card.total_bytes);
  fields.read("free", card.free_bytes);
  card.free_bytes = std::min(card.free_bytes, card.total_bytes);
  return card;
}

io::Task<Result<std::vector<GraphicsCard>>> read_cards(io::World& world, std::string program) {
  const io::Call call = world.clock.call_within(kAskMax);
  std::vector<GraphicsCard> cards;
  if (!world.files.exists(program)) co_return cards;
  io::SpawnOptions options;
  options.argv = {std::move(program)};
  CO_TRY(const auto child, world.processes.spawn(std::move(options)));
  std::string last;
  for (size_t i = 0; i < kLinesMax; i++) {
    CO_TRY(auto line, co_await child->read_line(call));
    if (!line) break;
    if (auto card = parse_card(*line)) cards.push_back(std::move(*card));
    last = std::move(*line);
  }
  CO_TRY(const io::ExitStatus status, co_await child->wait(call));
  if (status.code != 0 || status.signal != 0) {
    co_return fail(Errc::unavailable, "the graphics cards could not be asked: {} ({})", last,
                   status.str());
  }
  const bool any_own =
      std::ranges::any_of(cards, [](const auto& card) { return !card.integrated; });
  if (any_own) std::erase_if(cards, [](const auto& card) { return card.integrated; });
  co_return cards;
}

void GraphicsUse::read(std::string_view line) {
  bytes += card_buffer_bytes(line);
  if (const auto all = all_layers_on_card(line)) all_layers = *all;
}

std::optional<bool> all_layers_on_card(std::string_view line) {
  constexpr std::string_view kBefore = ": offloaded ", kAfter = " layers to GPU";
  const size_t begin = line.find(kBefore);
  if (begin == std::string_view::npos || !line.ends_with(kAfter)) return std::nullopt;
  line.remove_suffix(kAfter.size());
  if (begin + kBefore.size() > line.size()) return std::nullopt;
  line.remove_prefix(begin + kBefore.size());
  const size_t slash = line.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return line.substr(0, slash) == line.substr(slash + 1);
}

uint64_t card_buffer_bytes(std::string_view line) {
  constexpr std::string_view kSize = " buffer size = ";
  const size_t at = line.find(kSize);
  const size_t colon = line.find(": ");
  if (at == std::string_view::npos || colon == std::string_view::npos || colon + 2 > at) return 0;
  std::string_view name = line.substr(colon + 2, at - colon - 2);
  name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
  name = name.substr(0, name.find(' '));
  if (name.empty() || name.starts_with("CPU") || name.starts_with("RPC")) return 0;
  if (name.ends_with("_Host")) return 0;
  std::string_view size = line.substr(at + kSize.size());
  size.remove_prefix(std::min(size.find_first_not_of(' '), size.size()));
  double mebibytes = 0;
  const auto read = std::from_chars(size.data(), size.data() + size.size(), mebibytes);
  const bool whole = read.ec == std::errc{} &&
                     std::string_view(read.ptr, size.data() + size.size()).starts_with(" MiB");
  if (!whole || !(mebibytes >= 0 && mebibytes < 1e9)) return 0;
  return static_cast<uint64_t>(mebibytes * (1 << 20));
}

}  // namespace om::engine
