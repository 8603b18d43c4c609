// Connections inside one process, with the delays, slices and breaks of real ones.
#pragma once

#include <deque>
#include <map>

#include "io/event.h"
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

class SimNetwork final : public io::Network {
 public:
  SimNetwork(io::Clock& clock, SimRandom& random) : clock_(clock), random_(random) {}

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

  io::Clock& clock_;
  SimRandom& random_;
  uint16_t next_port_ = 20'000;
  int streams_open_ = 0;
  uint64_t trace_ = 0;
  std::map<std::string, class SimListener*> listeners_;
};

}  // namespace om::sim
