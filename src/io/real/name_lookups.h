// The addresses that names have, asked of the system, which knows neither deadline nor cancelling.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/clock.h"
#include "io/name_service.h"

namespace om::io {

// getaddrinfo() stays silent for half a minute where a name server is. So it runs on a few threads
// of its own, made when first needed, and nobody waits for longer than he wants to: neither those
// who ask, of whom each has his own call, nor the end of the process, which leaves the threads to
// themselves. Whoever asks for a name that is being looked up waits for that answer: one name whose
// server is silent takes one thread. On the io thread.
class NameLookups {
 public:
  NameLookups(boost::asio::io_context& context, Clock& clock, AskName ask);
  ~NameLookups() { stop(); }

  // not_found: there is no such name, or it has no address. unavailable: that could not be found
  // out now. overloaded: too many names at once. cancelled, deadline_exceeded.
  Task<Result<std::vector<boost::asio::ip::address>>> find(std::string name, Call call);

  // Answers come no more; those who still wait are woken, for the loop that is being taken down.
  void stop();

 private:
  static constexpr size_t kThreadsMax = 4;
  static constexpr size_t kNamesMax = 256;

  struct Lookup;   // Of one name, with those who wait for it.
  struct Threads;  // What the threads see.

  bool ask_for(const std::string& name);
  void answer(const std::string& name, NameAnswer answer);
  void leave(const std::string& name, const Lookup& lookup);
  static void work(std::shared_ptr<Threads> threads);

  boost::asio::io_context& context_;
  Clock& clock_;
  std::shared_ptr<Threads> threads_;
  std::map<std::string, std::shared_ptr<Lookup>> under_way_;
};

}  // namespace om::io
