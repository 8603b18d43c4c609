#include "scheduler/load_overlay.h"

#include <algorithm>

namespace om::scheduler {
namespace {

// By then every node in use has reported what ended.
constexpr std::chrono::seconds kEndedKept{3};

}  // namespace

LoadOverlay::Ticket LoadOverlay::add(const RoutedRequest& request, io::TimePoint now) {
  if (request.node >= nodes_.size()) nodes_.resize(request.node + 1);
  std::vector<Entry>& list = nodes_[request.node];
  std::erase_if(list, [&](const Entry& entry) {
    return entry.ended != io::kNever && now - entry.ended > kEndedKept;
  });
  if (tickets_.size() >= kRequestsMax) return 0;
  const Ticket ticket = ++last_ticket_;
  list.push_back(Entry{.ticket = ticket, .request = request, .routed = now});
  tickets_.emplace(ticket, request.node);
  own_++;
  return ticket;
}

std::vector<LoadOverlay::Entry>* LoadOverlay::list_of(Ticket ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return nullptr;
  return &nodes_[found->second];
}

std::span<const LoadOverlay::Entry> LoadOverlay::entries_of(NodeNumber node) const {
  return node < nodes_.size() ? nodes_[node] : std::span<const Entry>();
}

void LoadOverlay::first_token(Ticket ticket, io::TimePoint now) {
  std::vector<Entry>* list = list_of(ticket);
  if (list == nullptr) return;
  const auto entry = std::ranges::find(*list, ticket, &Entry::ticket);
  if (entry != list->end()) entry->answered = now;
}

void LoadOverlay::finish(Ticket ticket, io::TimePoint now) {
  std::vector<Entry>* list = list_of(ticket);
  if (list == nullptr) return;
  const auto entry = std::ranges::find(*list, ticket, &Entry::ticket);
  if (entry != list->end()) entry->ended = now;
  tickets_.erase(ticket);
  own_--;
}

LoadOverlay::Extra LoadOverlay::of(NodeNumber node, uint64_t model, io::TimePoint reported,
                                   io::TimePoint now) const {
  Extra extra;
  for (const Entry& entry : entries_of(node)) {
    if (entry.request.model != model) continue;
    const bool ended = entry.ended != io::kNever, answered = entry.answered != io::kNever;
    const bool in_report = entry.routed + kReportSettle <= reported;
    // A late first token is news until a report that was made after it.
    if (answered ? entry.answered + kReportSettle > reported : !ended) {
      const io::TimePoint first = std::min(entry.answered, now);
      extra.overdue = std::max(extra.overdue, first - entry.routed - entry.request.expected_first);
    }
    if (in_report && answered && entry.answered > reported) {
      // Evenly from when it was sent: what waited first had more left, never less.
      const auto left = std::chrono::duration<double>(entry.answered - reported);
      const auto all = std::chrono::duration<double>(entry.answered - entry.routed);
      extra.evaluated_tokens += entry.request.prompt_tokens * (left / all);
    }
    if (ended) {
      if (in_report && entry.ended + kReportSettle > reported) extra.requests--;
      continue;
    }
    extra.own++;
    if (!in_report) {
      extra.requests++;
      if (!answered) extra.prompt_tokens += entry.request.prompt_tokens;
      if (entry.request.load_bytes > 0) {
        extra.load_since = extra.loading ? std::min(extra.load_since, entry.routed) : entry.routed;
        extra.loading = true;
      }
    }
  }
  return extra;
}

uint64_t LoadOverlay::load_bytes(NodeNumber node, uint64_t except, io::TimePoint reported) const {
  uint64_t bytes = 0;
  const std::span<const Entry> list = entries_of(node);
  for (size_t i = 0; i < list.size(); i++) {
    const Entry& entry = list[i];
    if (entry.request.load_bytes == 0 || entry.request.model == except) continue;
    if (entry.ended != io::kNever || entry.routed + kReportSettle <= reported) continue;
    // Several requests for one model share one load.
    const bool counted = std::ranges::any_of(list.first(i), [&](const Entry& earlier) {
      return earlier.request.model == entry.request.model && earlier.request.load_bytes > 0 &&
             earlier.ended == io::kNever && earlier.routed + kReportSettle > reported;
    });
    if (!counted) bytes += entry.request.load_bytes;
  }
  return bytes;
}

void LoadOverlay::forget(NodeNumber node) {
  if (node >= nodes_.size()) return;
  for (const Entry& entry : nodes_[node]) {
    if (tickets_.erase(entry.ticket) > 0) own_--;
  }
  nodes_[node] = {};
}

}  // namespace om::scheduler
