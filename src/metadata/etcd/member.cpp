#include "metadata/etcd/member.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/check.h"
#include "base/log.h"
#include "metadata/metrics.h"

namespace om::metadata {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kLinesMax = 50;
constexpr size_t kLineBytesMax = 400;
constexpr size_t kLastWordsMax = 4;  // Lines.
constexpr uint64_t kNoteBytesMax = 64 * 1024;
constexpr milliseconds kRestartFirst{500}, kRestartMax{30'000};
constexpr seconds kRanWell{30};  // After this long an end is not one of a row.
constexpr int kQuickEndsMax = 2;
constexpr seconds kStopMax{5};
constexpr milliseconds kAskAgain{100};
constexpr size_t kMembersMax = 100;

io::Task<Result<StatusReply>> status_of(Gateway& gateway, io::Call call) {
  CO_TRY(const auto text, co_await gateway.ask_one(0, "/v3/maintenance/status", "{}", call));
  co_return parse_status(text);
}

}  // namespace

EtcdMember::EtcdMember(io::World& world, MemberOptions options)
    : world_(world), options_(std::move(options)) {}

EtcdMember::~EtcdMember() { CHECK(!tasks_, "an etcd member is destroyed before stop()"); }

std::optional<EtcdMember::Note> EtcdMember::read_note() const {
  const auto text = world_.files.read_file(options_.directory + "/member.json", kNoteBytesMax);
  if (!text) return std::nullopt;
  boost::system::error_code error;
  const auto value = json::parse(*text, error);
  if (error || !value.is_object()) return std::nullopt;
  const auto& object = value.get_object();
  Note note;
  const auto text_at = [&](std::string_view name) {
    const auto* found = object.if_contains(name);
    return found && found->is_string() ? std::string(found->get_string()) : std::string();
  };
  const auto flag_at = [&](std::string_view name) {
    const auto* found = object.if_contains(name);
    return found && found->is_bool() && found->get_bool();
  };
  note.name = text_at("name");
  note.first = {text_at("initial_cluster"), flag_at("joining")};
  note.started = flag_at("started");
  return note;
}

Result<void> EtcdMember::write_note(const Note& note) {
  json::object object;
  object["name"] = note.name;
  object["initial_cluster"] = note.first.initial_cluster;
  object["joining"] = note.first.joining;
  object["started"] = note.started;
  return world_.files.write_file(options_.directory + "/member.json", json::serialize(object));
}

bool EtcdMember::has_data() const {
  return world_.files.exists(options_.data_directory() + "/member/wal");
}

bool EtcdMember::has_begun() const {
  // A note alone is of a first start that failed: who was in the cluster then may not be now.
  const auto note = read_note();
  return (note && note->started) || has_data();
}

Result<void> EtcdMember::prepare(const Note& note) {
  TRY_VOID(world_.files.make_directories(options_.data_directory()));
  TRY_VOID(world_.files.set_mode(options_.directory, 0700));
  TRY_VOID(world_.files.set_mode(options_.data_directory(), 0700));
  return write_note(note);
}

io::Task<Result<void>> EtcdMember::begin(io::Call call) {
  if (has_begun()) {
    co_return fail(Errc::already_exists, "{}: there is an etcd member already", options_.directory);
  }
  Note note{
      options_.name, {fmt::format("{}={}", options_.name, options_.peer_url()), false}, false};
  co_return co_await run(std::move(note), std::move(call));
}

io::Task<Result<void>> EtcdMember::resume(io::Call call) {
  auto note = read_note();
  if (!note && !has_data()) {
    co_return fail(Errc::not_found, "{}: there was no etcd member here", options_.directory);
  }
  if (note && note->started && !has_data()) {
    co_return fail(Errc::corrupt,
                   "the data of etcd member '{}' in {} is gone. It must not come back as the same "
                   "member: remove it from the cluster on another node, then let this node join "
                   "again",
                   note->name, options_.data_directory());
  }
  if (note && note->name != options_.name) {
    co_return fail(Errc::already_exists, "{} is the directory of member '{}'", options_.directory,
                   note->name);
  }
  if (!note) note = Note{options_.name, {"", true}, true};
  co_return co_await run(std::move(*note), std::move(call));
}

io::Task<Result<Member>> EtcdMember::find_or_add(Membership& cluster,
                                                 const std::vector<Member>& members,
                                                 io::Call call) {
  for (const auto& member : members) {
    const bool same_address = std::ranges::count(member.peer_urls, options_.peer_url()) > 0;
    if (member.name.empty() && same_address) co_return member;  // Added, and never started.
    if (!same_address && member.name != options_.name) continue;
    co_return fail(Errc::already_exists,
                   "etcd member '{}' at {} is in the cluster, and this node has none of its data. "
                   "Remove it from the cluster on another node, then let this node join again",
                   member.name, member.peer_urls.empty() ? "?" : member.peer_urls.front());
  }
  // overloaded: the cluster settles after a change before it takes the next.
  while (true) {
    auto added = co_await cluster.add_learner(options_.peer_url(), call);
    if (added || added.error().code != Errc::overloaded) co_return added;
    const auto slept = co_await world_.clock.sleep_for(kAskAgain * 5, call);
    if (!slept) co_return fail(added.error());
  }
}

io::Task<Result<void>> EtcdMember::join(Membership& cluster, io::Call call) {
  if (has_begun()) {
    co_return fail(Errc::already_exists, "{}: there is an etcd member already", options_.directory);
  }
  // Before it is let in: a member that never starts keeps all others out.
  if (!world_.files.exists(options_.program)) {
    co_return fail(Errc::not_found, "there is no {}: install etcd-server", options_.program);
  }
  CO_TRY(auto members, co_await cluster.list(call));
  if (members.size() >= kMembersMax) co_return fail(Errc::overloaded, "too many members");
  CO_TRY(const auto own, co_await find_or_add(cluster, members, call));
  CO_TRY(members, co_await cluster.list(call));
  std::string initial;
  for (const auto& member : members) {
    if (member.peer_urls.empty()) continue;
    const std::string& name = member.id == own.id ? options_.name : member.name;
    if (name.empty()) continue;  // Another one that joins now.
    initial += fmt::format("{}{}={}", initial.empty() ? "" : ",", name, member.peer_urls.front());
  }
  Note note{options_.name, {std::move(initial), true}, false};
  CO_TRY_VOID(co_await run(std::move(note), call));
  co_return co_await promote(cluster, own.id, std::move(call));
}

io::Task<Result<void>> EtcdMember::finish_join(Membership& cluster, io::Call call) {
  Gateway gateway(world_, own_gateway());
  CO_TRY(const StatusReply status, co_await status_of(gateway, call));
  if (!status.learner) co_return Result<void>{};
  co_return co_await promote(cluster, status.header.member, std::move(call));
}

io::Task<Result<void>> EtcdMember::check_cluster(Membership& cluster, io::Call call) {
  Gateway gateway(world_, own_gateway());
  CO_TRY(const StatusReply status, co_await status_of(gateway, call));
  CO_TRY(const uint64_t theirs, co_await cluster.cluster_id(std::move(call)));
  if (status.header.cluster == theirs) co_return Result<void>{};
  co_return fail(Errc::forbidden, "{}: the etcd member here is of another cluster",
                 options_.directory);
}

io::Task<Result<void>> EtcdMember::tell_address(io::Call call) {
  Gateway gateway(world_, own_gateway());
  CO_TRY(const StatusReply status, co_await status_of(gateway, call));
  Membership cluster(world_, own_gateway());
  CO_TRY(const std::vector<Member> members, co_await cluster.list(call));
  const auto own = std::ranges::find(members, status.header.member, &Member::id);
  const bool is_told = own == members.end() || own->peer_urls == std::vector{options_.peer_url()};
  if (is_told) co_return Result<void>{};
  log_info("etcd's members are told of another address", field("member", options_.name),
           field("url", options_.peer_url()));
  co_return co_await cluster.update(own->id, options_.peer_url(), std::move(call));
}

// Refused until it has caught up; who is asked may not know of it yet, or of no leader.
io::Task<Result<void>> EtcdMember::promote(Membership& cluster, uint64_t id, io::Call call) {
  while (true) {
    const auto promoted = co_await cluster.promote(id, call);
    if (promoted || removed_) co_return promoted;
    const auto slept = co_await world_.clock.sleep_for(kAskAgain * 2, call);
    if (!slept) co_return fail(annotate(promoted.error(), "the new etcd member"));
  }
}

io::Task<Result<void>> EtcdMember::run(Note note, io::Call call) {
  CHECK(!tasks_, "an etcd member is started twice");
  if (const auto prepared = prepare(note); !prepared) {
    if (!note.started) co_return prepared;
    // It found all that it needs there before: etcd itself may still be able to run.
    log_warn("an etcd member's folder cannot be written", field("error", prepared.error()));
  }
  stopping_ = false;
  tasks_ = std::make_unique<io::TaskGroup>(world_.executor, world_.clock);
  tasks_->spawn(supervise(note.first));
  auto ready = co_await wait_until_ready(std::move(call));
  if (!ready) {
    // One that has answered before waits for others of its cluster, or for room on its disk.
    const bool goes_on = note.started && !removed_ && ready.error().code != Errc::cancelled;
    if (!goes_on) co_await stop();
    co_return ready;
  }
  if (note.started) co_return Result<void>{};
  note.started = true;
  co_return write_note(note);
}

EtcdOptions EtcdMember::own_gateway() const {
  EtcdOptions options;
  options.endpoints = {options_.client};
  if (const auto& files = options_.client_certificates) {
    auto tls = std::make_shared<io::Tls>();
    tls->ca_file = files->ca_file;
    tls->certificate_file = files->certificate_file;
    tls->key_file = files->key_file;
    // This is our own child on this machine, whatever name its certificate is for.
    tls->verify = false;
    options.tls = std::move(tls);
  }
  if (options_.client.host == "0.0.0.0" || options_.client.host == "::") {
    options.endpoints.front().host = options_.client.host == "::" ? "::1" : "127.0.0.1";
  }
  return options;
}

io::Task<Result<void>> EtcdMember::hand_over_lead(io::Call call) {
  Gateway gateway(world_, own_gateway());
  CO_TRY(const StatusReply status, co_await status_of(gateway, call));
  if (status.leader != status.header.member) co_return Result<void>{};
  CO_TRY(const auto list, co_await gateway.ask_one(0, "/v3/cluster/member/list", "{}", call));
  CO_TRY(const MembersReply members, parse_members(list));
  Result<void> handed;
  for (const Member& member : members.members) {
    if (member.learner || member.id == status.leader) continue;
    if (!handed) {  // It may have been handed over after the answer was waited for.
      const auto now = co_await status_of(gateway, call);
      if (now && now->leader != 0 && now->leader != status.header.member) co_return Result<void>{};
    }
    std::string body = fmt::format(R"({{"targetID":"{}"}})", member.id);
    const auto done =
        co_await gateway.ask_one(0, "/v3/maintenance/transfer-leadership", std::move(body), call);
    if (done) co_return Result<void>{};
    handed = fail(done.error());
  }
  co_return handed;
}

io::Task<Result<void>> EtcdMember::wait_until_ready(io::Call call) {
  Gateway gateway(world_, own_gateway());
  while (true) {
    if (removed_) {
      co_return fail(Errc::forbidden, "the cluster has removed etcd member '{}'", options_.name);
    }
    if (spawn_error_) co_return fail(*spawn_error_);
    if (quick_ends_ >= kQuickEndsMax) {
      co_return fail(Errc::unavailable, "etcd ends again and again: {}", last_words());
    }
    const auto status = co_await status_of(gateway, call);
    if (status && status->leader != 0) co_return Result<void>{};
    const auto slept = co_await world_.clock.sleep_for(kAskAgain, call);
    if (slept) continue;
    if (call.cancel.cancelled()) co_return slept;
    co_return fail(Errc::deadline_exceeded, "etcd does not answer: {}",
                   status ? "it has no leader" : status.error().what);
  }
}

io::Task<void> EtcdMember::supervise(FirstStart first) {
  quick_ends_ = 0;
  spawn_error_.reset();
  io::Duration pause = kRestartFirst;
  while (!stopping_ && !removed_) {
    const auto begun = world_.clock.now();
    co_await run_once(first);
    if (stopping_ || removed_) break;
    const bool ran_well = world_.clock.now() - begun >= kRanWell;
    quick_ends_ = ran_well ? 0 : quick_ends_ + 1;
    pause = ran_well ? io::Duration(kRestartFirst) : std::min<io::Duration>(pause * 2, kRestartMax);
    const auto jittered =
        std::chrono::duration_cast<io::Duration>(pause * (0.5 + world_.random.unit() / 2));
    log_warn("etcd has ended, it is started again", field("member", options_.name),
             field("pause", jittered), field("last_words", last_words()));
    // Cancelled: the loop's head sees it.
    (void)co_await world_.clock.sleep_for(jittered, io::Call{io::kNever, tasks_->token()});
    if (!stopping_) member_restarts.add();
  }
}

io::Task<void> EtcdMember::run_once(const FirstStart& first) {
  auto spawned = world_.processes.spawn(member_command(options_, first));
  if (!spawned) {
    spawn_error_ = annotate(spawned.error(), "etcd (install etcd-server)");
    log_error("etcd can not be started", field("error", spawned.error()));
    co_return;
  }
  child_ = std::move(*spawned);
  log_info("etcd started", field("member", options_.name), field("pid", child_->pid()));
  // Without deadline and token both waits end with the child; stop() sees to that.
  while (true) {
    auto line = co_await child_->read_line({});
    if (!line || !*line) break;
    take_line(std::move(**line));
  }
  (void)co_await child_->wait({});
}

void EtcdMember::take_line(std::string line) {
  line.resize(std::min(line.size(), kLineBytesMax));
  if (line.contains("permanently removed from the cluster") ||
      line.contains("has been removed from the cluster")) {
    removed_ = true;
    log_error("the cluster has removed this etcd member", field("member", options_.name));
  }
  const bool grave = line.contains(R"("level":"error")") || line.contains(R"("level":"fatal")") ||
                     line.contains(R"("level":"panic")") || line.starts_with("panic:");
  if (grave) {
    log_warn("etcd", field("member", options_.name), field("line", line));
  } else {
    log_debug("etcd", field("member", options_.name), field("line", line));
  }
  lines_.push_back(std::move(line));
  if (lines_.size() > kLinesMax) lines_.pop_front();
}

std::string EtcdMember::last_words() const {
  std::string words;
  const size_t from = lines_.size() > kLastWordsMax ? lines_.size() - kLastWordsMax : 0;
  for (size_t i = from; i < lines_.size(); i++) {
    words += (words.empty() ? "" : " | ") + lines_[i];
  }
  return words;
}

io::Task<void> EtcdMember::stop() {
  stopping_ = true;
  if (running()) {
    child_->signal(SIGTERM);
    const auto ended = co_await child_->wait(world_.clock.call_within(kStopMax));
    if (!ended) child_->signal(SIGKILL);
  }
  if (tasks_) co_await tasks_->stop();
  tasks_.reset();
  child_.reset();
}

}  // namespace om::metadata
