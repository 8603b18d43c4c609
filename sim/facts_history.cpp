#include "sim/facts_history.h"

#include <algorithm>

#include "sim/forwarded_metadata.h"

namespace om::sim {

using metadata::Commit;
using metadata::Entry;
using metadata::LeaseId;
using metadata::Revision;
using metadata::Snapshot;
using metadata::Transaction;
using Events = std::vector<metadata::Event>;

namespace {

constexpr size_t kComplaintsMax = 20;

// What metadata::Metadata says of errors: nothing was changed. After all others it may have been,
// or may be yet.
bool changed_nothing(const Error& error) {
  return error.code == Errc::not_leader || error.code == Errc::not_found ||
         error.code == Errc::invalid_argument || error.code == Errc::overloaded;
}

std::string text_of(const metadata::Event& event) {
  return fmt::format("{}{} at {}", event.entry.key, event.removed ? " removed" : "",
                     event.entry.modified);
}

std::string text_of(const Events& events) {
  std::string text;
  for (const auto& event : events) text += (text.empty() ? "" : ", ") + text_of(event);
  return text.empty() ? "nothing" : text;
}

bool are_same(const metadata::Event& one, const metadata::Event& other) {
  const Entry &a = one.entry, &b = other.entry;
  return one.removed == other.removed && a.key == b.key && a.modified == b.modified &&
         a.value == b.value && a.version == b.version && a.created == b.created &&
         a.lease == b.lease;
}

}  // namespace

// Compares what is told with what changed: each revision whole, once, in order, none left out.
class RecordedWatch final : public metadata::Watch {
 public:
  RecordedWatch(FactsHistory& history, std::unique_ptr<metadata::Watch> watch, std::string node,
                std::string prefix, Revision from)
      : history_(history),
        watch_(std::move(watch)),
        node_(std::move(node)),
        prefix_(std::move(prefix)),
        number_(history.count_++),
        from_now_(from <= 0),
        next_(from_now_ ? history.facts_.revision() + 1 : from) {
    history_.watches_[number_] = this;
  }
  ~RecordedWatch() override { history_.watches_.erase(number_); }

  io::Task<Result<Events>> next(io::Call call) override {
    waits_ = true;
    auto events = co_await watch_->next(std::move(call));
    waits_ = false;
    if (events) compare(*events);
    co_return events;
  }

  void expect_told(io::TimePoint before) {
    if (!waits_ || from_now_) return;
    const Events untold = changes(next_, history_.facts_.revision(), before);
    if (untold.empty()) return;
    complain("was not told {} long after it changed", text_of(untold.front()));
    next_ = history_.facts_.revision() + 1;
  }

 private:
  template <class... Args>
  void complain(fmt::format_string<Args...> format, Args&&... args) {
    history_.complain(fmt::format("a watch of {} at {} {}", prefix_, node_,
                                  fmt::format(format, std::forward<Args>(args)...)));
  }

  Events changes(Revision first, Revision last, io::TimePoint before = io::kNever) const {
    Events found;
    for (Revision at = first; at <= last; at++) {
      const SharedMetadata::Change* change = history_.facts_.change(at);
      if (!change || change->at >= before) break;
      for (const auto& event : change->events) {
        if (event.entry.key.starts_with(prefix_)) found.push_back(event);
      }
    }
    return found;
  }

  void compare(const Events& events) {
    if (events.empty()) return complain("was told nothing at all");
    history_.events_told_ += events.size();
    // Where "now" was, only its first word tells.
    const Revision first = events.front().entry.modified;
    if (std::exchange(from_now_, false)) next_ = std::max(next_, first);
    Revision last = first;
    for (const auto& event : events) last = std::max(last, event.entry.modified);
    const Events expected = changes(next_, last);
    if (!std::ranges::equal(events, expected, are_same)) {
      complain("was told {} where {} changed from {} on", text_of(events), text_of(expected),
               next_);
    }
    next_ = std::max(next_, last + 1);
  }

  FactsHistory& history_;
  std::unique_ptr<metadata::Watch> watch_;
  const std::string node_, prefix_;
  const uint64_t number_;
  bool from_now_, waits_ = false;
  Revision next_;  // The first that was not told.
};

class RecordedMetadata final : public ForwardedMetadata {
 public:
  RecordedMetadata(FactsHistory& history, std::unique_ptr<metadata::Metadata> metadata,
                   std::string node, bool from_others)
      : ForwardedMetadata(std::move(metadata)),
        history_(history),
        node_(std::move(node)),
        from_others_(from_others) {}

  io::Task<Result<std::optional<Entry>>> get(std::string key, io::Call call) override {
    FactsCall& made = history_.begin(FactsCall::Kind::get, node_);
    made.key = key;
    auto answer = co_await inner().get(std::move(key), std::move(call));
    if (answer) {
      if (*answer) made.seen.entries.push_back(**answer);
      history_.end(made);
    }
    co_return answer;
  }

  io::Task<Result<Snapshot>> list(std::string prefix, io::Call call) override {
    FactsCall& made = history_.begin(FactsCall::Kind::list, node_);
    made.key = prefix;
    auto answer = co_await inner().list(std::move(prefix), std::move(call));
    if (answer) {
      made.seen = *answer;
      history_.end(made);
    }
    co_return answer;
  }

  io::Task<Result<Commit>> commit(Transaction transaction, io::Call call) override {
    if (from_others_ && !transaction.request_id.empty()) {
      co_return co_await inner().commit(std::move(transaction), std::move(call));
    }
    const std::string id = transaction.request_id;
    const bool again = history_.open_requests_.contains(id);
    FactsCall& made =
        again ? *history_.open_requests_[id] : history_.begin(FactsCall::Kind::commit, node_);
    made.transaction = transaction;
    const auto answer = co_await inner().commit(std::move(transaction), std::move(call));
    if (answer) {
      made.commit = *answer;
      history_.end(made);
    } else if (changed_nothing(answer.error()) && !again) {
      history_.forget(made);
    }
    if (answer) history_.open_requests_.erase(id);
    if (!answer && made.answered == Interval::kOpen && !id.empty()) {
      history_.open_requests_[id] = &made;
    }
    co_return answer;
  }

  std::unique_ptr<metadata::Watch> watch(std::string prefix, Revision from) override {
    auto watch = inner().watch(prefix, from);
    return std::make_unique<RecordedWatch>(history_, std::move(watch), node_, std::move(prefix),
                                           from);
  }

 private:
  FactsHistory& history_;
  const std::string node_;
  const bool from_others_;
};

std::string FactsCall::describe() const {
  const double seconds = std::chrono::duration<double>(at.time_since_epoch()).count() - 3600;
  std::string text = fmt::format("{:.4f} {} ", seconds, node);
  if (kind == Kind::lease_end) return text + fmt::format("lease {} ended", lease);
  if (kind == Kind::commit) {
    for (const auto& compare : transaction.compares) text += "if " + compare.key + " ";
    for (const auto& operation : transaction.operations) {
      text += (operation.kind == metadata::Operation::Kind::put ? "put " : "remove ") +
              operation.key + " ";
    }
    if (answered == Interval::kOpen) return text + "with no answer";
    return text + fmt::format("{} at {}", commit.done ? "done" : "refused", commit.revision);
  }
  text += (kind == Kind::get ? "get " : "list ") + key + " sees";
  for (const Entry& entry : seen.entries) text += fmt::format(" {}@{}", entry.key, entry.modified);
  return text + (kind == Kind::list ? fmt::format(" at {}", seen.revision) : "");
}

FactsHistory::FactsHistory(SharedMetadata& facts) : facts_(facts) {
  facts_.on_lease_end = [this](LeaseId lease) {
    FactsCall& end_of = begin(FactsCall::Kind::lease_end, "-");
    end_of.lease = lease;
    end(end_of);
  };
}

FactsHistory::~FactsHistory() { facts_.on_lease_end = nullptr; }

std::unique_ptr<metadata::Metadata> FactsHistory::record(
    std::unique_ptr<metadata::Metadata> metadata, std::string node, bool from_others) {
  return std::make_unique<RecordedMetadata>(*this, std::move(metadata), std::move(node),
                                            from_others);
}

FactsCall& FactsHistory::begin(FactsCall::Kind kind, const std::string& node) {
  FactsCall& call = calls_.emplace_back();
  call.kind = kind;
  call.node = node;
  call.at = facts_.now();
  call.revision = facts_.revision();
  call.called = count_++;
  return call;
}

void FactsHistory::read_all() {
  FactsCall& call = begin(FactsCall::Kind::list, "-");
  call.seen = facts_.all();
  end(call);
}

void FactsHistory::expect_told(io::TimePoint before) {
  for (const auto& [number, watch] : watches_) watch->expect_told(before);
}

void FactsHistory::complain(std::string text) {
  if (complaints_.size() < kComplaintsMax) complaints_.push_back(std::move(text));
}

}  // namespace om::sim
