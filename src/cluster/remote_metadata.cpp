#include "cluster/remote_metadata.h"

#include <algorithm>

#include "base/json_fields.h"
#include "engine/remote/line_reader.h"

namespace om::cluster {
namespace {

namespace json = boost::json;
using engine::LineReader;

constexpr std::chrono::milliseconds kRetryPause{300};
// So long a voter that failed is asked last.
constexpr std::chrono::seconds kDoubtMax{30};
constexpr int kPagesMax = 1000;  // More than the largest snapshot has.

// Errors after which another voter may answer. cancelled: that voter stops; asked again, a change
// is made once, by its request id. unsupported: it is no voter any more.
bool another_may_answer(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::deadline_exceeded ||
         error.code == Errc::not_leader || error.code == Errc::cancelled ||
         error.code == Errc::unsupported;
}

// Asked of a voter, these may have been done although it did not say so.
bool changes_something(std::string_view operation) {
  return operation == "commit" || operation == "grant" || operation == "revoke";
}

bool leaves_it_open(const Error& error) {
  return error.code == Errc::unavailable || error.code == Errc::deadline_exceeded ||
         error.code == Errc::cancelled;
}

// What is too much for one line comes in several, of which all but the last say so.
io::Task<Result<json::object>> read_answer(LineReader& reader) {
  CO_TRY(json::object answer, co_await reader.next());
  bool more = false;
  JsonFields(answer).read("more", more);
  for (int pages = 1; more; pages++) {
    if (pages >= kPagesMax) co_return fail(Errc::corrupt, "an answer without an end");
    CO_TRY(json::object page, co_await reader.next());
    more = false;
    JsonFields(page).read("more", more);
    json::value* all = answer.if_contains("entries");
    json::value* entries = page.if_contains("entries");
    if (!all || !all->is_array() || !entries || !entries->is_array()) {
      co_return fail(Errc::corrupt, "a part of an answer has no entries");
    }
    for (json::value& entry : entries->get_array()) all->get_array().push_back(std::move(entry));
  }
  co_return answer;
}

}  // namespace

// A watch that goes on at another voter when its own is lost.
class RemoteWatch final : public metadata::Watch {
 public:
  RemoteWatch(RemoteMetadata& metadata, std::string prefix, metadata::Revision from)
      : metadata_(metadata), prefix_(std::move(prefix)), from_(from) {}

  io::Task<Result<std::vector<metadata::Event>>> next(io::Call call) override {
    while (true) {
      if (!reader_) CO_TRY_VOID(co_await open(call));
      auto line = co_await reader_->next();
      if (!line) {
        reader_.reset();
        Error error = std::move(line).error();
        if (!another_may_answer(error) || call.cancel.cancelled()) co_return fail(std::move(error));
        metadata_.doubt(told_by_);
        // Without a majority each of them may refuse at once, and is asked again and again.
        CO_TRY_VOID(co_await metadata_.world_.clock.sleep_for(kRetryPause, call));
        continue;
      }
      auto events = decode_events(*line);
      JsonFields(*line).read("next", from_);
      if (!events.empty()) co_return events;
    }
  }

 private:
  // Asks the voters in turn until one tells. Fails if they were reached and refuse: this node was
  // removed while nobody told it.
  io::Task<Result<void>> open(io::Call call) {
    const json::object body{{"prefix", prefix_}, {"from", from_}};
    const std::string text = json::serialize(body);
    while (true) {
      std::optional<Error> refused;
      for (const engine::PeerLink& link : metadata_.in_order()) {
        auto request = link.request("POST", "/peer/v1/metadata/watch", text);
        auto reader = co_await LineReader::open(metadata_.world_.clock, metadata_.client_, link,
                                                std::move(request), call);
        if (reader) {
          reader_.emplace(std::move(*reader));
          told_by_ = link.node;
          co_return Result<void>{};
        }
        if (!another_may_answer(reader.error())) refused = std::move(reader).error();
      }
      if (refused) co_return fail(std::move(*refused));
      CO_TRY_VOID(co_await metadata_.world_.clock.sleep_for(kRetryPause, call));
    }
  }

  RemoteMetadata& metadata_;
  std::string prefix_;
  metadata::Revision from_;
  std::string told_by_;  // The voter that `reader_` reads.
  std::optional<LineReader> reader_;
};

RemoteMetadata::RemoteMetadata(io::World& world, http::Client& client, Voters voters)
    : world_(world), client_(client), voters_(std::move(voters)) {}

std::vector<engine::PeerLink> RemoteMetadata::in_order() const {
  std::vector<engine::PeerLink> links = voters_();
  std::ranges::stable_partition(links, [this](const engine::PeerLink& link) {
    const auto found = doubted_.find(link.node);
    return found == doubted_.end() || found->second <= world_.clock.now();
  });
  return links;
}

void RemoteMetadata::doubt(const std::string& node) {
  doubted_[node] = world_.clock.now() + kDoubtMax;
}

io::Task<Result<json::object>> RemoteMetadata::ask(std::string operation, json::object body,
                                                   io::Call call) {
  if (call.deadline == io::kNever) call.deadline = world_.clock.now() + metadata::kCallMax;
  const std::string text = json::serialize(body);
  Error last{Errc::not_leader, "no voter of the cluster is known"};
  std::optional<Error> open;  // What one voter left open no other one can deny.
  const std::vector<engine::PeerLink> links = in_order();
  for (const engine::PeerLink& link : links) {
    io::Call one = call;
    // A small answer is there at once, or another voter needs the time that is left.
    if (operation == "get" && &link != &links.back()) {
      one.deadline -= (call.deadline - world_.clock.now()) / 2;
    }
    auto request = link.request("POST", "/peer/v1/metadata/" + operation, text);
    auto reader = co_await LineReader::open(world_.clock, client_, link, std::move(request), one);
    if (!reader) {
      last = std::move(reader).error();
    } else {
      auto line = co_await read_answer(*reader);
      if (line) {
        co_await reader->finish();
        healthy_ = true;
        doubted_.erase(link.node);
        co_return std::move(*line);
      }
      last = std::move(line).error();
    }
    if (call.cancel.cancelled()) co_return fail(Errc::cancelled, "cancelled");
    if (!another_may_answer(last)) co_return fail(std::move(last));
    doubt(link.node);
    if (changes_something(operation) && leaves_it_open(last)) open = last;
  }
  healthy_ = false;
  if (open) co_return fail(std::move(*open));
  if (last.code == Errc::unavailable) last.code = Errc::not_leader;  // Nothing was changed.
  co_return fail(std::move(last));
}

io::Task<Result<std::optional<metadata::Entry>>> RemoteMetadata::get(std::string key,
                                                                     io::Call call) {
  json::object body{{"key", key}};
  CO_TRY(const json::object line, co_await ask("get", std::move(body), std::move(call)));
  std::optional<metadata::Entry> entry;
  if (const json::object* found = JsonFields(line).object("entry")) entry = decode_entry(*found);
  co_return entry;
}

io::Task<Result<metadata::Snapshot>> RemoteMetadata::list(std::string prefix, io::Call call) {
  json::object body{{"prefix", prefix}, {"pages", true}};
  CO_TRY(const json::object line, co_await ask("list", std::move(body), std::move(call)));
  co_return decode_snapshot(line);
}

io::Task<Result<metadata::Commit>> RemoteMetadata::commit(metadata::Transaction transaction,
                                                          io::Call call) {
  if (transaction.request_id.empty()) {
    transaction.request_id = world_.random.letters(metadata::kRequestIdLetters);
  }
  json::object body = encode_transaction(transaction);
  CO_TRY(const json::object line, co_await ask("commit", std::move(body), std::move(call)));
  metadata::Commit commit;
  JsonFields(line).read("done", commit.done);
  JsonFields(line).read("revision", commit.revision);
  co_return commit;
}

io::Task<Result<metadata::LeaseId>> RemoteMetadata::grant(std::chrono::seconds time_to_live,
                                                          io::Call call) {
  json::object body{{"seconds", time_to_live.count()}};
  CO_TRY(const json::object line, co_await ask("grant", std::move(body), std::move(call)));
  metadata::LeaseId lease = 0;
  JsonFields(line).read("lease", lease);
  co_return lease;
}

io::Task<Result<void>> RemoteMetadata::keep_alive(metadata::LeaseId lease, io::Call call) {
  json::object body{{"lease", lease}};
  CO_TRY(const json::object line, co_await ask("keep_alive", std::move(body), std::move(call)));
  co_return Result<void>{};
}

io::Task<Result<void>> RemoteMetadata::revoke(metadata::LeaseId lease, io::Call call) {
  json::object body{{"lease", lease}};
  CO_TRY(const json::object line, co_await ask("revoke", std::move(body), std::move(call)));
  co_return Result<void>{};
}

std::unique_ptr<metadata::Watch> RemoteMetadata::watch(std::string prefix,
                                                       metadata::Revision from) {
  return std::make_unique<RemoteWatch>(*this, std::move(prefix), from);
}

io::Task<void> RemoteMetadata::stop() { co_return; }

}  // namespace om::cluster
