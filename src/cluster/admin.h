// What an operator can do to a node's cluster; the command line asks it through the API.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "io/task.h"

namespace om::cluster {

struct EnterOptions {
  std::string advertise;  // host[:port] under which other nodes reach this one; empty: found out.
  // Further places where a join looks for nodes (discovery.h); empty: as configured.
  std::vector<std::string> discover;
};

struct Restored {
  size_t entries = 0;             // Of the backup, that are facts now.
  std::vector<std::string> kept;  // Models left as they are: here their names mean other models.
};

// One per node. On the io thread. invalid_argument, with advice: not possible in this state (not in
// a cluster, or in one already); not_leader: no majority can be reached, nothing has changed.
class Admin {
 public:
  virtual ~Admin() = default;

  // Makes this node the first of a new cluster; the token lets the next one join. The node restarts
  // once the answer is sent and running requests have ended.
  virtual io::Task<Result<std::string>> init(EnterOptions options, io::Call call) = 0;
  // unauthenticated, forbidden: the token is not good (any more). already_exists: a member has this
  // node's name. unavailable: no node of the token can be reached.
  virtual io::Task<Result<void>> join(std::string token, EnterOptions options, io::Call call) = 0;
  // `force`: also if the cluster cannot be told; it then lists this node until `cluster remove` is
  // run there. A removed node needs no `force`. invalid_argument: as remove(), and the only voter.
  virtual io::Task<Result<void>> leave(bool force, io::Call call) = 0;

  virtual io::Task<Result<std::string>> make_token(io::Duration life, io::Call call) = 0;
  virtual boost::json::object status() = 0;  // Nodes with their state and load, voters, health.
  virtual io::Task<Result<void>> drain(std::string node, bool on, io::Call call) = 0;
  // invalid_argument: no other node has all of some models, and `force` is not set.
  virtual io::Task<Result<void>> remove(std::string node, bool force, io::Call call) = 0;
  virtual io::Task<Result<void>> promote(std::string node, io::Call call) = 0;  // To a voter.

  // All facts as text, whether SQLite or etcd keeps them; without the authority's keys.
  virtual io::Task<Result<std::string>> backup(io::Call call) = 0;
  // Writes a backup's facts into this cluster, over those under the same key. The cluster's own
  // members and models stay, and all other facts. If it fails, a part may be done; it is safe to
  // call it again.
  virtual io::Task<Result<Restored>> restore(std::string text, io::Call call) = 0;
};

}  // namespace om::cluster
