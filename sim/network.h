// Connections inside one process, with the delays, slices and breaks of real ones.
//
// TLS is checked but not spoken: both sides' certificates are read from the simulated disk and must
// hold, at the simulated time, exactly as the real ones must. A refusal shows in connect(), where a
// real TLS 1.3 client may learn of it only when it reads.
//
// Several machines share one network: each has a SimHost, and a SimNetwork by itself is a machine
// without a name. Between two of them a way can be cut, in one direction or both, silently as by a
// firewall that drops, or with word of it as by one that resets.
#pragma once

#include <map>

#include "io/event.h"
#include "io/filesystem.h"
#include "io/network.h"
#include "sim/random.h"

namespace om::sim {

// How bad the links are. Ranges are drawn anew for every write.
struct NetworkFaults {
  std::chrono::microseconds delay_min{10}, delay_max{500};
  size_t slice_max = 65'536;   // A read brings at most so many bytes, and at least one.
  double reset_chance = 0;     // Per write: both sides then see the connection break.
  size_t window = 256 * 1024;  // Bytes on their way or unread, per direction; then a writer waits.
};

// Who is at the other end: an address, and what the certificate says, if one was checked.
struct SimPeer {
  std::string address, certificate_name, certificate_serial;
};

// Whether those on the other side of a break are told of it.
enum class Word { none, reset };

class SimHost;

class SimNetwork final : public io::Network {
 public:
  SimNetwork(io::Clock& clock, SimRandom& random, io::Filesystem& files);
  ~SimNetwork() override;

  NetworkFaults faults;
  std::map<std::string, int> denied;         // Host names that so many more connects do not find.
  std::map<std::string, io::Duration> slow;  // What every write from and to a host takes longer.
  int streams_open() const { return streams_open_; }
  int streams_open(std::string_view at, std::string_view to) const;  // Ends of hosts.
  uint64_t trace() const { return trace_; }  // Of every read so far: how much, and when.

  // What `from` sends does not arrive at `to` any more. Silently: what is on its way waits for
  // heal(); else connections between the two break.
  void cut(const std::string& from, const std::string& to, Word word);
  void heal(const std::string& from, const std::string& to);
  bool passes(const std::string& from, const std::string& to) const;

  io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Endpoint to,
                                                        std::shared_ptr<const io::Tls> tls,
                                                        io::Call call) override;
  Result<std::unique_ptr<io::Listener>> listen(io::Endpoint at,
                                               std::shared_ptr<const io::Tls> tls) override;

 private:
  friend class SimStream;
  friend class SimListener;
  friend class SimHost;
  void note_read(size_t count);
  io::Task<Result<void>> travel(const SimHost& from, const std::string& to, bool with_tls,
                                io::Call call);
  io::Duration delay(const std::string& from, const std::string& to);
  void wake_all();

  io::Clock& clock_;
  SimRandom& random_;
  uint16_t next_port_ = 20'000;
  int streams_open_ = 0;
  uint64_t trace_ = 0, last_stream_ = 0;
  std::map<std::string, class SimListener*> listeners_;  // Unix sockets with their host's name.
  std::map<uint64_t, class SimStream*> streams_;
  std::map<std::string, std::string> names_;  // By address.
  std::map<std::pair<std::string, std::string>, Word> cuts_;
  io::Event changed_;  // A cut healed.
  std::unique_ptr<SimHost> nameless_;
};

// One machine's way into the network. The network outlives it, and it its streams.
class SimHost final : public io::Network {
 public:
  // Who connects on loopback does so from these.
  static constexpr uint16_t kLoopbackFirst = 61'000, kLoopbackPorts = 100;
  // What kSocketTable has on its disk at first; then it tells who is connected on loopback.
  static constexpr const char* kSocketTable = "/proc/net/tcp";
  static std::string socket_table();

  struct Place {
    std::string name;     // Of the machine; a restart keeps it.
    std::string address;  // Numeric.
  };
  // `clock` tells the machine's own time, by which certificates are judged.
  // Connections that an earlier life of the machine had are gone; who writes to one is told.
  SimHost(SimNetwork& network, Place place, io::Clock& clock, io::Filesystem& files);

  // From now on nothing arrives here or leaves. With `word`, as when a process is killed: others
  // see connections break. Without, as when the power goes out: they hear nothing any more.
  void die(Word word);
  const std::string& name() const { return place_.name; }

  io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Endpoint to,
                                                        std::shared_ptr<const io::Tls> tls,
                                                        io::Call call) override;
  Result<std::unique_ptr<io::Listener>> listen(io::Endpoint at,
                                               std::shared_ptr<const io::Tls> tls) override;

 private:
  friend class SimNetwork;
  friend class SimStream;
  friend class SimListener;
  std::string key_of(const io::Endpoint& at) const;
  // Unix sockets and 127.0.0.1; one without a name is all of its network.
  bool is_within(const io::Endpoint& at) const;
  uint16_t port_towards(const io::Endpoint& to);
  // Whose certificate the other side shows, when this one looks at it; unauthenticated: refused.
  Result<SimPeer> check_server(const io::Tls& mine, const SimHost& host, const io::Tls& theirs);
  Result<SimPeer> check_client(const io::Tls& mine, const SimHost& host, const io::Tls& theirs);

  SimNetwork& network_;
  Place place_;
  io::Clock& clock_;
  io::Filesystem& files_;
  bool dead_ = false;
  uint16_t loopback_ports_ = 0;
};

}  // namespace om::sim
