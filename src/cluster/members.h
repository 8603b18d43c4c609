// Who belongs to the cluster: a slow fact, agreed on in the metadata. Whether a member can be
// reached changes fast: reports tell that.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster/fact_table.h"
#include "io/network.h"

namespace om::cluster {

inline constexpr std::string_view kNodesPrefix = "/nodes/";

struct Member {
  std::string name;
  io::Endpoint peer;      // Where other nodes reach it.
  bool draining = false;  // Gets no new requests until it is undrained.
  bool voter = false;     // Is to keep a copy of the metadata.
  bool asked = false;     // A person made it a voter, and it stays one.
  // URLs of a voter's etcd member, once it has a vote. With an external etcd, a voter is a node
  // that reaches that etcd itself; `etcd_peer` is then empty.
  std::string etcd_client, etcd_peer;
  std::string serial;          // Of its certificate, or an older one: earlier ones are refused.
  std::string version;         // Of the program it runs.
  int64_t joined_seconds = 0;  // Unix time.

  // Only then do its life and death count for a majority.
  bool has_vote() const { return voter && !etcd_client.empty(); }
  bool uses_external_etcd() const { return has_vote() && etcd_peer.empty(); }
};

std::string write_member(const Member& member);
// Takes a node out, with the facts that are about this node only.
std::vector<metadata::Operation> removal_of(const std::string& node);
Result<Member> read_member(std::string_view json);  // corrupt: not one.

// On the io thread; stop() must have returned before it is destroyed. Reads answer from memory,
// also without a majority; changes need one.
class Members {
 public:
  Members(io::World& world, metadata::Metadata& metadata, io::Path file);
  ~Members();

  void start() { facts_.start(); }
  FactTable& facts() { return facts_; }

  const Member* find(std::string_view name) const;
  std::vector<Member> list() const;  // By name.
  void on_change(std::function<void()> callback) { callback_ = std::move(callback); }

  // Changes one record by `change`, anew whenever somebody else wrote it meanwhile. not_found: no
  // member.
  io::Task<Result<void>> update(std::string name, std::function<void(Member&)> change,
                                io::Call call);
  // The node's certificate is refused from then on; a new node may take the name. not_found.
  io::Task<Result<void>> remove(std::string name, io::Call call);

  io::Task<void> stop() { co_await facts_.stop(); }

 private:
  void take(const std::string& key, const std::string* value);

  io::Clock& clock_;
  metadata::Metadata& metadata_;
  std::map<std::string, Member, std::less<>> members_;
  std::function<void()> callback_;
  FactTable facts_;
};

}  // namespace om::cluster
