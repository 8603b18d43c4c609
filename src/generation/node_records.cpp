#include "generation/node_records.h"

#include <algorithm>

#include "base/json_fields.h"
#include "base/log.h"
#include "base/rendezvous.h"
#include "base/strings.h"
#include "engine/remote/wire.h"
#include "io/task_group.h"

namespace om::generation {
namespace {

constexpr uint64_t kTurnLowBits = (uint64_t{1} << kOwnerTurnShift) - 1;

int status_of(Errc code) {
  switch (code) {
    case Errc::not_found:
      return 404;
    case Errc::already_exists:
      return 409;
    case Errc::overloaded:
      return 413;
    default:
      return 422;
  }
}

Errc errc_of(int status) {
  switch (status) {
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::already_exists;
    case 413:
      return Errc::overloaded;
    case 422:
      return Errc::invalid_argument;
    default:
      return Errc::unavailable;
  }
}

}  // namespace

class NodeRecording final : public Recording {
 public:
  NodeRecording(NodeRecords& records, std::string name, std::string fingerprint, uint64_t owner,
                std::string past)
      : records_(records),
        name_(std::move(name)),
        fingerprint_(std::move(fingerprint)),
        owner_(owner),
        past_(std::move(past)),
        superseded_(records_.store_.superseded(name_, owner_)) {}

  std::string take_past() override { return std::move(past_); }
  io::CancelToken superseded() const override { return superseded_; }

  io::Task<Result<void>> add(std::string lines, io::Call call) override {
    if (unrecorded_) co_return Result<void>{};
    const std::string* whole = records_.store_.lines(name_, owner_);
    if (!whole) co_return go_on_unrecorded();
    const size_t from = whole->size();
    const auto kept = records_.store_.add(name_, owner_, from, lines);
    if (!kept) {
      if (kept.error().code != Errc::overloaded) co_return fail(taken());
      co_return go_on_unrecorded(kept.error());
    }
    if (!keeper_.node.empty()) {
      std::string target = fmt::format("{}/add?from={}&owner={}", name_, from, owner_);
      const io::TimePoint before = records_.world_.clock.now();
      auto told = co_await records_.tell(keeper_, std::move(target), std::move(lines), call);
      if (told) {
        note_answer(records_.world_.clock.now() - before);
        co_return Result<void>{};
      }
      if (told.error().code == Errc::already_exists) co_return fail(taken());
      if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the request was cancelled");
      keeper_ = {};
    }
    co_return co_await find_keeper(std::move(call));
  }

 private:
  static Error taken() { return {Errc::cancelled, "its client took this answer elsewhere"}; }

  // Its record had to make room for others', or is too long.
  Result<void> go_on_unrecorded(const Error& error = {Errc::not_found,
                                                      "its record made room for others"}) {
    if (superseded_.cancelled()) return fail(taken());
    unrecorded_ = true;
    log_warn("this answer cannot be picked up elsewhere any more", field("error", error));
    return {};
  }

  // One slow answer may be chance.
  void note_answer(io::Duration took) {
    slow_answers_ = took > kKeeperSlow ? slow_answers_ + 1 : 0;
    if (slow_answers_ < 2) return;
    slow_answers_ = 0;
    records_.note_late(keeper_);
    const auto other = [this](const engine::PeerLink& peer) { return !records_.is_late(peer); };
    if (std::ranges::any_of(records_.keepers(name_), other)) keeper_ = {};
  }

  // Without any other node the answer goes on: it can be picked up here then, and only here.
  io::Task<Result<void>> find_keeper(io::Call call) {
    std::vector<engine::PeerLink> peers = records_.keepers(name_);
    std::ranges::stable_partition(
        peers, [this](const engine::PeerLink& peer) { return !records_.is_late(peer); });
    for (engine::PeerLink& peer : peers) {
      std::string target =
          fmt::format("{}/put?fingerprint={}&owner={}", name_, fingerprint_, owner_);
      const std::string* whole = records_.store_.lines(name_, owner_);
      if (!whole) co_return go_on_unrecorded();
      auto told = co_await records_.tell(peer, std::move(target), *whole, call);
      if (told) {
        keeper_ = std::move(peer);
        co_return Result<void>{};
      }
      if (told.error().code == Errc::already_exists) co_return fail(taken());
      if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "the request was cancelled");
    }
    co_return Result<void>{};
  }

  NodeRecords& records_;
  std::string name_, fingerprint_;
  uint64_t owner_;
  std::string past_;
  bool unrecorded_ = false;
  int slow_answers_ = 0;     // In a row.
  engine::PeerLink keeper_;  // Without a name: none yet.
  io::CancelToken superseded_;
};

std::vector<engine::PeerLink> NodeRecords::keepers(std::string_view name) const {
  std::vector<engine::PeerLink> peers = peers_();
  std::ranges::sort(peers, std::greater(),
                    [name](const engine::PeerLink& peer) { return rendezvous(name, peer.node); });
  return peers;
}

// A copy is kept by the first of the keepers, or by the second where that one was away: of those of
// the answer's owner, which may itself stand before them here. Besides, the owner has it: if that
// was late, it is lost only where a keeper has died since, too.
std::vector<engine::PeerLink> NodeRecords::holders(std::string_view name) const {
  std::vector<engine::PeerLink> peers = keepers(name);
  const auto others = peers.begin() + std::min<std::ptrdiff_t>(3, std::ssize(peers));
  peers.erase(std::remove_if(others, peers.end(),
                             [this](const engine::PeerLink& peer) { return is_late(peer); }),
              peers.end());
  return peers;
}

bool NodeRecords::is_late(const engine::PeerLink& peer) const {
  const auto known = late_.find(peer.node);
  return known != late_.end() && world_.clock.now() - known->second < kLateRest;
}

void NodeRecords::note_late(const engine::PeerLink& peer) {
  const io::TimePoint now = world_.clock.now();
  std::erase_if(late_, [now](const auto& item) { return now - item.second >= kLateRest; });
  late_[peer.node] = now;
}

io::Task<Result<std::unique_ptr<Recording>>> NodeRecords::take(std::string name,
                                                               std::string fingerprint, Fits fits,
                                                               io::Call call) {
  const std::vector<engine::PeerLink> peers = holders(name);
  std::vector<Result<Taken>> found(peers.size() + 1);
  found.back() = store_.take(name, fingerprint);
  io::TaskGroup asking(world_.executor, world_.clock);
  const std::string target = fmt::format("{}/take?fingerprint={}", name, fingerprint);
  for (size_t i = 0; i < peers.size(); i++) asking.spawn(ask(peers[i], target, found[i], call));
  co_await asking.wait();
  co_await asking.stop();
  Taken best;
  for (Result<Taken>& one : found) {
    if (!one && one.error().code == Errc::invalid_argument) co_return fail(std::move(one).error());
    if (!one) continue;
    // A longer record of an earlier owner may hold what its client never got: it was taken over
    // from then on. Among copies of one owner's the longest has what the others are still told.
    const auto age = [](const Taken& taken) {
      return std::pair(taken.owner >> kOwnerTurnShift, taken.lines.size());
    };
    if (age(*one) > age(best)) best.lines = std::move(one->lines);
    best.owner = std::max(best.owner, one->owner);
  }
  if (fits && !fits(best.lines)) {
    best.lines.clear();
    best.owner += uint64_t{1} << kOwnerTurnShift;  // Or what others hold, being longer, came back.
  }
  best.owner |= world_.random.next() & kTurnLowBits;
  CO_TRY_VOID(store_.put(name, fingerprint, best.owner, best.lines));
  co_return std::make_unique<NodeRecording>(*this, std::move(name), std::move(fingerprint),
                                            best.owner, std::move(best.lines));
}

io::Task<void> NodeRecords::ask(engine::PeerLink peer, std::string target, Result<Taken>& answer,
                                io::Call call) {
  answer = fail(Errc::unavailable, "no answer");
  call = world_.clock.call_within(kRecordAnswerMax, call);
  auto request = peer.request("POST", std::string(kRecordsPath) + target);
  auto response = co_await client_.send(std::move(request), call);
  if (!response) {
    if (!call.cancel.cancelled()) note_late(peer);
    co_return;
  }
  const int status = (*response)->status();
  auto text = co_await (*response)->read_all(kRecordBytesMax + 1024);
  if (!text) co_return;
  if (status != 200) {
    answer = fail(errc_of(status), "{}", *text);
    co_return;
  }
  const size_t end = text->find('\n');
  const auto head = engine::parse_line(std::string_view(*text).substr(0, end));
  if (!head || end == std::string::npos) co_return;
  Taken taken;
  JsonFields(*head).read("owner", taken.owner);
  taken.lines = text->substr(end + 1);
  answer = std::move(taken);
}

io::Task<Result<void>> NodeRecords::tell(engine::PeerLink peer, std::string target,
                                         std::string lines, io::Call call) {
  call = world_.clock.call_within(kRecordAnswerMax, call);
  auto request = peer.request("POST", std::string(kRecordsPath) + target, std::move(lines));
  auto response = co_await client_.send(std::move(request), call);
  if (!response) {
    if (!call.cancel.cancelled()) note_late(peer);
    co_return fail(std::move(response).error());
  }
  CO_TRY(const std::string text, co_await (*response)->read_all(1024));
  if ((*response)->status() == 200) co_return Result<void>{};
  co_return fail(errc_of((*response)->status()), "{}", text);
}

io::Task<void> NodeRecords::handle(http::Request& request, http::BodyReader& body,
                                   http::ResponseWriter& response) {
  const std::string rest = request.path.substr(kRecordsPath.size());
  const size_t slash = rest.find('/');
  const std::string name = rest.substr(0, slash);
  const std::string operation = slash == std::string::npos ? "" : rest.substr(slash + 1);
  const uint64_t owner = parse_number<uint64_t>(request.query_value("owner")).value_or(0);
  Result<std::string> answer = co_await body.read_all(kRecordBytesMax);
  if (answer && operation == "take") {
    if (auto taken = store_.take(name, request.query_value("fingerprint"))) {
      answer = fmt::format("{{\"owner\":{}}}\n{}", taken->owner, taken->lines);
    } else {
      answer = fail(std::move(taken).error());
    }
  } else if (answer && operation == "put") {
    const auto kept =
        store_.put(name, request.query_value("fingerprint"), owner, std::move(*answer));
    answer = kept ? Result<std::string>("{}\n") : fail(kept.error());
  } else if (answer && operation == "add") {
    const size_t from = parse_number<size_t>(request.query_value("from")).value_or(0);
    const auto kept = store_.add(name, owner, from, *answer);
    answer = kept ? Result<std::string>("{}\n") : fail(kept.error());
  } else if (answer) {
    answer = fail(Errc::unsupported, "unknown operation");
  }
  // Who is gone needs no answer.
  if (answer) {
    (void)co_await response.send(200, "application/x-ndjson", std::move(*answer));
  } else {
    (void)co_await response.send(status_of(answer.error().code), "text/plain", answer.error().what);
  }
}

}  // namespace om::generation
