// Connections inside one process, with the delays, slices and breaks of real ones.
//
// TLS is checked but not spoken: both sides' certificates are read from the simulated disk and must
// hold, at the simulated time, exactly as the real ones must. A refusal shows in connect(), where a
// real TLS 1.3 client may learn of it only when it reads.
#pragma once

#include <deque>
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

class SimNetwork final : public io::Network {
 public:
  SimNetwork(io::Clock& clock, SimRandom& random, io::Filesystem& files)
      : clock_(clock), random_(random), files_(files) {}

  NetworkFaults faults;
  int streams_open() const { return streams_open_; }
  uint64_t trace() const { return trace_; }  // Of every read so far: how much, and when.

  io::Task<Result<std::unique_ptr<io::Stream>>> connect(io::Endpoint to,
                                                        std::shared_ptr<const io::Tls> tls,
                                                        io::Call call) override;
  Result<std::unique_ptr<io::Listener>> listen(io::Endpoint at,
                                               std::shared_ptr<const io::Tls> tls) override;

 private:
  friend class SimStream;
  friend class SimListener;
  struct Waiting;  // Accepted by nobody yet.
  void note_read(size_t count);
  // Whose certificate `shown` is, when the side `by` looks at it; unauthenticated: refused.
  Result<SimPeer> check_server(const io::Tls& by, const io::Tls& shown);
  Result<SimPeer> check_client(const io::Tls& by, const io::Tls& shown);

  io::Clock& clock_;
  SimRandom& random_;
  io::Filesystem& files_;
  uint16_t next_port_ = 20'000;
  int streams_open_ = 0;
  uint64_t trace_ = 0;
  std::map<std::string, class SimListener*> listeners_;
};

}  // namespace om::sim
