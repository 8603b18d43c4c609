#include "cluster/discovery.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"

namespace om::cluster {
namespace {

constexpr std::string_view kBrowse = "/usr/bin/avahi-browse", kPublish = "/usr/bin/avahi-publish";
constexpr std::chrono::seconds kSourceMax{5};
constexpr std::chrono::seconds kPublishAgain{10};
constexpr size_t kAvahiLinesMax = 1000;
constexpr size_t kLabelBytesMax = 63;  // Of a name in DNS, RFC 1035; avahi-publish refuses more.
// Fields of a resolved line: "=", interface, protocol, name, type, domain, host, address, port.
constexpr size_t kAddressField = 7, kPortField = 8;

io::Task<Result<std::vector<io::Endpoint>>> browse(io::World& world, io::Call call) {
  io::SpawnOptions options;
  options.argv = {std::string(kBrowse), "--parsable",     "--resolve",
                  "--terminate",        "--no-db-lookup", std::string(kMdnsService)};
  auto child = world.processes.spawn(std::move(options));
  if (!child) {
    co_return fail(annotate(std::move(child).error(),
                            "mDNS needs avahi-browse (Debian: avahi-utils, avahi-daemon)"));
  }
  std::vector<io::Endpoint> found;
  std::string last;
  for (size_t i = 0; i < kAvahiLinesMax; i++) {
    auto line = co_await (*child)->read_line(call);
    if (!line && line.error().code == Errc::deadline_exceeded) break;  // Some never answer.
    if (!line) co_return fail(line.error());
    if (!*line) {
      CO_TRY(const io::ExitStatus ended, co_await (*child)->wait(call));
      if (ended.code == 0 && ended.signal == 0) break;
      co_return fail(Errc::unavailable, "avahi-browse: {} ({})", last, ended.str());
    }
    if (auto endpoint = read_avahi_line(**line)) found.push_back(std::move(*endpoint));
    last = std::move(**line);
  }
  co_return found;
}

io::Task<Result<std::vector<io::Endpoint>>> ask(io::World& world, io::NameService& names,
                                                DiscoverySource source, io::Call call) {
  if (source.kind == DiscoverySource::Kind::mdns) co_return co_await browse(world, call);
  if (source.kind == DiscoverySource::Kind::dns) {
    co_return co_await names.lookup(source.endpoint, call);
  }
  co_return std::vector<io::Endpoint>{source.endpoint};
}

std::string_view name_of(DiscoverySource::Kind kind) {
  if (kind == DiscoverySource::Kind::mdns) return "mdns";
  return kind == DiscoverySource::Kind::dns ? "dns" : "fixed";
}

}  // namespace

Result<io::Endpoint> parse_endpoint(std::string_view text, uint16_t default_port) {
  const auto wrong = [text] {
    return fail(Errc::invalid_argument, "'{}' is not HOST[:PORT]", text);
  };
  std::string_view host = text;
  uint16_t port = default_port;
  const size_t colon = text.rfind(':'), bracket = text.rfind(']');
  const bool bare_ipv6 = bracket == text.npos && text.find(':') != colon;
  const bool has_port =
      colon != text.npos && !bare_ipv6 && (bracket == text.npos || colon > bracket);
  if (has_port) {
    const auto number = parse_number<uint16_t>(text.substr(colon + 1));
    if (!number || *number == 0) return wrong();
    port = *number;
    host = text.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool is_clean = std::ranges::all_of(
      host, [](char c) { return c > ' ' && c != 127 && c != '/' && c != '[' && c != ']'; });
  if (host.empty() || !is_clean) return wrong();
  return io::Endpoint::tcp(std::string(host), port);
}

Result<std::vector<DiscoverySource>> parse_discovery(std::span<const std::string> texts) {
  if (texts.size() > kDiscoverySourcesMax) {
    return fail(Errc::invalid_argument, "more than {} places to look for nodes",
                kDiscoverySourcesMax);
  }
  std::vector<DiscoverySource> sources;
  for (const std::string& text : texts) {
    DiscoverySource source;
    std::string_view rest = text;
    if (text == "mdns") {
      source.kind = DiscoverySource::Kind::mdns;
      sources.push_back(std::move(source));
      continue;
    }
    if (rest.starts_with("dns:")) {
      source.kind = DiscoverySource::Kind::dns;
      rest.remove_prefix(4);
    }
    auto endpoint = parse_endpoint(rest);
    if (!endpoint) {
      return fail(Errc::invalid_argument, "'{}' is not HOST[:PORT], dns:NAME[:PORT] or mdns", rest);
    }
    source.endpoint = std::move(*endpoint);
    sources.push_back(std::move(source));
  }
  return sources;
}

io::Task<std::vector<io::Endpoint>> discover(io::World& world, io::NameService& names,
                                             std::vector<DiscoverySource> sources, io::Call call) {
  std::vector<io::Endpoint> all;
  for (const DiscoverySource& source : sources) {
    const io::Call bounded = world.clock.call_within(kSourceMax, call);
    const auto found = co_await ask(world, names, source, bounded);
    if (!found) {
      log_warn("no nodes found", field("by", name_of(source.kind)),
               field("name", source.endpoint.host), field("error", found.error()));
      continue;
    }
    for (const io::Endpoint& endpoint : *found) {
      if (all.size() >= kDiscoveredMax) break;
      if (std::ranges::find(all, endpoint) == all.end()) all.push_back(endpoint);
    }
  }
  co_return all;
}

std::optional<io::Endpoint> read_avahi_line(std::string_view line) {
  const auto fields = split(line, ';');
  if (fields.size() <= kPortField || fields[0] != "=") return std::nullopt;
  const std::string address(fields[kAddressField]);
  const auto port = parse_number<uint16_t>(fields[kPortField]);
  // A link-local address means nothing without its interface.
  if (!port || *port == 0 || address.empty() || address.starts_with("fe80")) return std::nullopt;
  return io::Endpoint::tcp(address, *port);
}

MdnsAnnouncement::MdnsAnnouncement(io::World& world, std::string node, uint16_t port)
    : world_(world), node_(std::move(node)), port_(port), tasks_(world.executor, world.clock) {}

MdnsAnnouncement::~MdnsAnnouncement() = default;

void MdnsAnnouncement::start() { tasks_.spawn(run()); }

io::Task<void> MdnsAnnouncement::stop() { co_await tasks_.stop(); }

io::Task<void> MdnsAnnouncement::run() {
  const io::CancelToken token = tasks_.token();
  std::string told;
  while (!token.cancelled()) {
    const auto ended = co_await publish();
    if (token.cancelled()) co_return;
    // Once for each reason: the daemon may be missing for good.
    const std::string why = ended ? "it ended" : ended.error().what;
    if (why != told) log_warn("mDNS does not tell of this node", field("why", why));
    told = why;
    (void)co_await world_.clock.sleep_for(kPublishAgain, {io::kNever, token});
  }
}

io::Task<Result<void>> MdnsAnnouncement::publish() {
  io::SpawnOptions options;
  std::string label = ("OllamaMax " + node_).substr(0, kLabelBytesMax);
  options.argv = {std::string(kPublish),     "--service",           std::move(label),
                  std::string(kMdnsService), std::to_string(port_), "node=" + node_};
  CO_TRY(const auto child, world_.processes.spawn(std::move(options)));
  log_info("announced over mDNS", field("node", node_), field("port", port_));
  std::string last = "avahi-publish ended";
  while (true) {
    CO_TRY(auto line, co_await child->read_line({io::kNever, tasks_.token()}));
    if (!line) break;
    if (!line->empty()) last = std::move(*line);
  }
  co_return fail(Errc::unavailable, "{}", last);
}

}  // namespace om::cluster
