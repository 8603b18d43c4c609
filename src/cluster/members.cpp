#include "cluster/members.h"

#include "base/json_fields.h"
#include "base/log.h"
#include "cluster/pin_table.h"
#include "metadata/read_to_change.h"
#include "model/json_text.h"

namespace om::cluster {
namespace {

constexpr int kUpdateTriesMax = 8;

// Every member of a Member under its name, for the writer and the reader.
template <class AnyMember, class Each>
void each_field(AnyMember& member, Each&& each) {
  each("name", member.name);
  each("host", member.peer.host);
  each("port", member.peer.port);
  each("draining", member.draining);
  each("voter", member.voter);
  each("asked", member.asked);
  each("etcd_client", member.etcd_client);
  each("etcd_peer", member.etcd_peer);
  each("serial", member.serial);
  each("version", member.version);
  each("joined_seconds", member.joined_seconds);
}

// Into what is there: what only a newer version knows of a member stays.
std::string write_into(boost::json::object object, const Member& member) {
  each_field(member, [&](auto name, const auto& value) { object[name] = value; });
  return boost::json::serialize(object);
}

}  // namespace

std::string write_member(const Member& member) { return write_into({}, member); }

Result<Member> read_member(std::string_view text) {
  TRY(const boost::json::object object, model::parse_json_object(text, "member"));
  const JsonFields fields(object);
  Member member;
  each_field(member, [&](auto name, auto& value) { fields.read(name, value); });
  if (member.name.empty() || member.peer.host.empty() || member.peer.port == 0) {
    return fail(Errc::corrupt, "a member's record has no name or no address");
  }
  return member;
}

Members::Members(io::World& world, metadata::Metadata& metadata, io::Path file)
    : clock_(world.clock),
      metadata_(metadata),
      facts_(world, metadata, std::string(kNodesPrefix), std::move(file)) {
  facts_.on_change([this](const std::string& key, const std::string* value) { take(key, value); });
}

Members::~Members() = default;

void Members::take(const std::string& key, const std::string* value) {
  if (!value) {
    members_.erase(key);
  } else {
    auto member = read_member(*value);
    if (!member) {
      log_warn("a member's record cannot be read", field("node", key),
               field("error", member.error()));
      return;
    }
    members_[key] = std::move(*member);
  }
  if (callback_) callback_();
}

const Member* Members::find(std::string_view name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? nullptr : &found->second;
}

std::vector<Member> Members::list() const {
  std::vector<Member> all;
  all.reserve(members_.size());
  for (const auto& [name, member] : members_) all.push_back(member);
  return all;
}

io::Task<Result<void>> Members::update(std::string name, std::function<void(Member&)> change,
                                       io::Call call) {
  const std::string key = std::string(kNodesPrefix) + name;
  for (int i = 0; i < kUpdateTriesMax; i++) {
    CO_TRY(const std::optional<metadata::Entry> entry,
           co_await metadata::read_to_change(clock_, metadata_, key, call));
    if (!entry) co_return fail(Errc::not_found, "no node '{}' in this cluster", name);
    CO_TRY(Member member, read_member(entry->value));
    change(member);
    CO_TRY(boost::json::object before, model::parse_json_object(entry->value, "member"));
    const std::string value = write_into(std::move(before), member);
    metadata::Transaction transaction;
    transaction.compares.push_back(metadata::Compare::unchanged(*entry));
    transaction.operations.push_back(metadata::Operation::put(key, value));
    CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
    if (!commit.done) continue;
    facts_.apply(name, &value, commit.revision);
    co_return Result<void>{};
  }
  co_return fail(Errc::overloaded, "the record of node '{}' changes all the time", name);
}

std::vector<metadata::Operation> removal_of(const std::string& node) {
  return {metadata::Operation::remove(std::string(kNodesPrefix) + node),
          metadata::Operation::remove_prefix(fmt::format("{}{}/", kPinsPrefix, node))};
}

io::Task<Result<void>> Members::remove(std::string name, io::Call call) {
  if (!find(name)) co_return fail(Errc::not_found, "no node '{}' in this cluster", name);
  metadata::Transaction transaction;
  transaction.operations = removal_of(name);
  CO_TRY(const metadata::Commit commit, co_await metadata_.commit(std::move(transaction), call));
  facts_.apply(name, nullptr, commit.revision);
  co_return Result<void>{};
}

}  // namespace om::cluster
