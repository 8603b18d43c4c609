// One etcd member that this node runs as a child.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "io/task_group.h"
#include "io/world.h"
#include "metadata/etcd/member_options.h"
#include "metadata/etcd/membership.h"

namespace om::metadata {

// On the io thread. begin(), join() or resume(), and stop() before it is destroyed. After a failure
// it is stopped and may be tried again, unless `goes_on()`. A child that dies is started again,
// with a growing pause.
//
// A member that lost its data must not come back as the same member: it has forgotten what it
// acknowledged, and a write may hang on that acknowledgement. So member.json beside the data says
// that there was some, and join() refuses an address or name that a started member has. The way
// back is always: remove the old member, join as a new one.
class EtcdMember {
 public:
  EtcdMember(io::World& world, MemberOptions options);
  ~EtcdMember();

  // True: it has answered before, or has data; call resume().
  bool has_begun() const;

  // All return when the member answers. Errors: corrupt: its data is lost, as above.
  // already_exists: the name or address is taken, as above. forbidden: the cluster has removed it.
  // unavailable: it ends at once, with its last words. deadline_exceeded: it has not answered in
  // time. not_found: no etcd here. After these three, resume() of a member that has answered before
  // goes on trying: the majority, room on the disk or the program may come back.
  io::Task<Result<void>> begin(io::Call call);  // A new cluster of this member alone.
  // Added as a learner, started, and made a voter when it has caught up. May be called again after
  // a failure.
  io::Task<Result<void>> join(Membership& cluster, io::Call call);
  io::Task<Result<void>> resume(io::Call call);  // With the data that is there.
  // After resume(), if join() may have broken off: else the member would stay without a vote.
  io::Task<Result<void>> finish_join(Membership& cluster, io::Call call);
  // forbidden: the member belongs to another cluster; it has begun one of its own.
  io::Task<Result<void>> check_cluster(Membership& cluster, io::Call call);
  // After resume() with a new address: writes it into the list of members, through this member,
  // which reaches the others all the while. Needs a majority.
  io::Task<Result<void>> tell_address(io::Call call);
  // If this member leads, hands leadership to another voter, so that its end needs no election.
  // unavailable: no other takes the lead.
  io::Task<Result<void>> hand_over_lead(io::Call call);
  io::Task<void> stop();  // Asks it to end; kills it if it does not.

  // Before it is started: see MemberOptions::proxy.
  void use_proxy(std::string url) { options_.proxy = std::move(url); }

  bool running() const { return child_ != nullptr && child_->running(); }
  bool goes_on() const { return tasks_ != nullptr; }  // It runs, or is started again and again.
  int pid() const { return child_ ? child_->pid() : 0; }
  bool removed() const { return removed_; }  // By the cluster; it is not started again.
  std::string last_words() const;            // Of its log.
  const MemberOptions& options() const { return options_; }

 private:
  struct Note {  // member.json
    std::string name;
    FirstStart first;
    bool started = false;  // It has answered once: from then on its data must be there.
  };
  std::optional<Note> read_note() const;
  Result<void> write_note(const Note& note);
  bool has_data() const;
  Result<void> prepare(const Note& note);

  io::Task<Result<void>> run(Note note, io::Call call);
  io::Task<Result<Member>> find_or_add(Membership& cluster, const std::vector<Member>& members,
                                       io::Call call);
  EtcdOptions own_gateway() const;
  io::Task<Result<void>> wait_until_ready(io::Call call);
  io::Task<Result<void>> promote(Membership& cluster, uint64_t id, io::Call call);
  io::Task<void> supervise(FirstStart first);
  io::Task<void> run_once(const FirstStart& first);
  void take_line(std::string line);

  io::World& world_;
  MemberOptions options_;
  std::unique_ptr<io::Child> child_;
  std::deque<std::string> lines_;
  int quick_ends_ = 0;  // In a row.
  bool removed_ = false, stopping_ = false;
  std::optional<Error> spawn_error_;
  std::unique_ptr<io::TaskGroup> tasks_;  // Of one start.
};

}  // namespace om::metadata
