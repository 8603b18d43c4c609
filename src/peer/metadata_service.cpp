#include "peer/metadata_service.h"

#include "base/json_fields.h"
#include "cluster/metadata_wire.h"
#include "engine/remote/wire.h"
#include "io/cancel_either.h"
#include "metadata/watch_while_well.h"
#include "peer/line_stream.h"

namespace om::peer {
namespace {

namespace json = boost::json;

constexpr std::string_view kPrefix = "/peer/v1/metadata/";
constexpr uint64_t kBodyBytesMax = 128ull << 20;
// Nothing is there: to list it tells what is the newest revision.
constexpr const char* kNothing = "/nothing/";

}  // namespace

io::Task<void> MetadataService::handle(http::Request& request, http::BodyReader& body,
                                       http::ResponseWriter& response) {
  const std::string operation = request.path.substr(kPrefix.size());
  const io::CancelEither cancel(request.cancel, stopping_);
  LineStream out(world_, response);
  auto done = co_await out.start();
  if (done) {
    const auto text = co_await body.read_all(kBodyBytesMax);
    auto question = text ? engine::parse_line(*text) : fail(text.error());
    if (!question) {
      done = fail(question.error());
    } else if (operation == "watch") {
      const io::Call call{io::kNever, cancel.token()};
      done = co_await watch(std::move(*question), out, call);
    } else {
      const io::Call call = world_.clock.call_within(metadata::kCallMax, cancel.token());
      bool in_pages = false;  // Earlier versions read one line.
      JsonFields(*question).read("pages", in_pages);
      if (operation == "list" && in_pages) {
        done = co_await list(std::move(*question), out, call);
      } else {
        const auto line = co_await answer(operation, std::move(*question), call);
        done = line ? co_await out.write(json::serialize(*line) + "\n") : fail(line.error());
      }
    }
    // Fails only if nobody is there to read it.
    if (!done) (void)co_await out.write(engine::error_line(done.error()));
  }
  co_await out.finish();
}

io::Task<Result<json::object>> MetadataService::answer(std::string operation, json::object question,
                                                       io::Call call) {
  const JsonFields fields(question);
  metadata::LeaseId lease = 0;
  fields.read("lease", lease);
  if (operation == "get") {
    CO_TRY(const auto entry, co_await metadata_.get(fields.text("key"), std::move(call)));
    json::object reply{{"found", entry.has_value()}};
    if (entry) reply["entry"] = cluster::encode_entry(*entry);
    co_return reply;
  }
  if (operation == "list") {
    CO_TRY(const auto snapshot, co_await metadata_.list(fields.text("prefix"), std::move(call)));
    co_return cluster::encode_snapshot(snapshot);
  }
  if (operation == "commit") {
    CO_TRY(auto transaction, cluster::decode_transaction(question));
    CO_TRY(const auto commit, co_await metadata_.commit(std::move(transaction), std::move(call)));
    co_return json::object{{"done", commit.done}, {"revision", commit.revision}};
  }
  if (operation == "grant") {
    int64_t seconds = 0;
    fields.read("seconds", seconds);
    CO_TRY(lease, co_await metadata_.grant(std::chrono::seconds(seconds), std::move(call)));
    co_return json::object{{"lease", lease}};
  }
  if (operation == "keep_alive") {
    CO_TRY_VOID(co_await metadata_.keep_alive(lease, std::move(call)));
    co_return json::object{{"lease", lease}};
  }
  if (operation == "revoke") {
    CO_TRY_VOID(co_await metadata_.revoke(lease, std::move(call)));
    co_return json::object{{"lease", lease}};
  }
  co_return fail(Errc::unsupported, "this node does not know the operation '{}'", operation);
}

io::Task<Result<void>> MetadataService::list(json::object question, LineStream& out,
                                             io::Call call) {
  const JsonFields fields(question);
  CO_TRY(auto snapshot, co_await metadata_.list(fields.text("prefix"), std::move(call)));
  const std::vector<metadata::Snapshot> pages = cluster::pages_of(std::move(snapshot));
  for (const metadata::Snapshot& page : pages) {
    json::object line = cluster::encode_snapshot(page);
    line["more"] = &page != &pages.back();
    CO_TRY_VOID(co_await out.write(json::serialize(line) + "\n"));
  }
  co_return Result<void>{};
}

// What was told from a revision on was read before it was asked for. If that is not there yet,
// history itself went back (a backup of the user's own etcd was restored), and whoever waits for
// it hears nothing of what happens until then.
io::Task<Result<void>> MetadataService::check_told(metadata::Revision from, io::Call call) {
  CO_TRY(const auto now, co_await metadata_.list(kNothing, std::move(call)));
  if (now.revision + 1 >= from) co_return Result<void>{};
  co_return fail(Errc::corrupt, "the facts are of an earlier time: there is no revision {} yet",
                 from - 1);
}

io::Task<Result<void>> MetadataService::watch(json::object question, LineStream& out,
                                              io::Call call) {
  const JsonFields fields(question);
  metadata::Revision from = 0;
  fields.read("from", from);
  if (from > 0) {
    CO_TRY_VOID(
        co_await check_told(from, world_.clock.call_within(metadata::kUnwellMax, call.cancel)));
  }
  const auto watch = metadata_.watch(fields.text("prefix"), from);
  io::TimePoint well = world_.clock.now();
  while (true) {
    auto looked = co_await metadata::next_while_well(world_.clock, metadata_, *watch, well, call);
    if (!looked) co_return fail(std::move(looked).error());
    if (!*looked) {
      co_return fail(Errc::not_leader, "this voter reaches no majority: another one may");
    }
    const std::vector<metadata::Event>& events = **looked;
    json::object line = cluster::encode_events(events);
    for (const metadata::Event& event : events) {
      from = std::max(from, event.entry.modified + 1);
    }
    line["next"] = from;
    CO_TRY_VOID(co_await out.write(json::serialize(line) + "\n"));
  }
}

}  // namespace om::peer
