#include "io/real/name_lookups.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "io/event.h"
#include "io/real/route.h"

namespace om::io {

namespace asio = boost::asio;

namespace {

NameAnswer ask_system(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // Else each address comes once for each kind of socket.
  addrinfo* found = nullptr;
  NameAnswer answer;
  answer.error = ::getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (answer.error != 0) return answer;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    std::string text = numeric_text(entry->ai_addr, entry->ai_addrlen);
    if (!text.empty()) answer.addresses.push_back(std::move(text));
  }
  ::freeaddrinfo(found);
  return answer;
}

// Only what a name server has said holds: a network that is down for a moment says nothing of it.
bool is_final(int error) {
  return error == EAI_NONAME || error == EAI_NODATA || error == EAI_ADDRFAMILY;
}

Result<std::vector<asio::ip::address>> read_answer(const std::string& name,
                                                   const NameAnswer& answer) {
  if (is_final(answer.error)) return fail(Errc::not_found, "lookup {}: no such host", name);
  if (answer.error != 0) {
    return fail(Errc::unavailable, "lookup {}: {}", name, ::gai_strerror(answer.error));
  }
  std::vector<asio::ip::address> addresses;
  for (const std::string& text : answer.addresses) {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(text, error);
    if (!error) addresses.push_back(address);
  }
  if (addresses.empty()) return fail(Errc::not_found, "lookup {}: no addresses", name);
  return addresses;
}

}  // namespace

struct NameLookups::Lookup {
  explicit Lookup(Clock& clock) : done(clock) {}
  std::optional<NameAnswer> answer;
  Event done;
};

struct NameLookups::Threads {
  AskName ask;
  std::mutex mutex;
  std::condition_variable ready;
  // All below under the mutex.
  std::deque<std::string> names;
  size_t count = 0, idle = 0;
  std::function<void(const std::string& name, NameAnswer answer)> deliver;  // Empty: stopped.
};

NameLookups::NameLookups(asio::io_context& context, Clock& clock, AskName ask)
    : context_(context), clock_(clock), threads_(std::make_shared<Threads>()) {
  threads_->ask = ask ? std::move(ask) : ask_system;
  threads_->deliver = [this](const std::string& name, NameAnswer answer) {
    asio::post(context_, [this, name, answer = std::move(answer)]() mutable {
      this->answer(name, std::move(answer));
    });
  };
}

void NameLookups::stop() {
  {
    const std::lock_guard lock(threads_->mutex);
    threads_->deliver = nullptr;
    threads_->names.clear();
  }
  threads_->ready.notify_all();
  for (const auto& [name, lookup] : std::exchange(under_way_, {})) lookup->done.notify_all();
}

Task<Result<std::vector<asio::ip::address>>> NameLookups::find(std::string name, Call call) {
  std::shared_ptr<Lookup> lookup;
  if (const auto found = under_way_.find(name); found != under_way_.end()) {
    lookup = found->second;
  } else {
    if (under_way_.size() >= kNamesMax) {
      co_return fail(Errc::overloaded, "lookup {}: too many names at once", name);
    }
    if (!ask_for(name)) co_return fail(Errc::unavailable, "lookup {}: no thread for it", name);
    lookup = std::make_shared<Lookup>(clock_);
    under_way_.emplace(name, lookup);
  }
  const auto guard = asio::make_work_guard(context_);  // The loop must not end for want of work.
  while (!lookup->answer) {
    const auto woken = co_await lookup->done.wait(call);
    if (woken || lookup->answer) continue;
    leave(name, *lookup);
    co_return fail(annotate(woken.error(), "lookup " + name));
  }
  co_return read_answer(name, *lookup->answer);
}

// False: there is no thread to do it, nor can one be made.
bool NameLookups::ask_for(const std::string& name) {
  const std::lock_guard lock(threads_->mutex);
  if (threads_->idle <= threads_->names.size() && threads_->count < kThreadsMax) {
    try {
      std::thread(work, threads_).detach();
      threads_->count++;
    } catch (const std::system_error&) {  // The machine's limit of threads: those we have do it.
      if (threads_->count == 0) return false;
    }
  }
  threads_->names.push_back(name);
  threads_->ready.notify_one();
  return true;
}

void NameLookups::answer(const std::string& name, NameAnswer answer) {
  const auto lookup = under_way_.extract(name);
  if (lookup.empty()) return;
  lookup.mapped()->answer = std::move(answer);
  lookup.mapped()->done.notify_all();
}

// A name that nobody waits for any more need not be asked for; one that is being asked for is.
void NameLookups::leave(const std::string& name, const Lookup& lookup) {
  if (lookup.done.waiters() > 0) return;
  const std::lock_guard lock(threads_->mutex);
  if (std::erase(threads_->names, name) > 0) under_way_.erase(name);
}

void NameLookups::work(std::shared_ptr<Threads> threads) {
  std::unique_lock lock(threads->mutex);
  while (true) {
    threads->idle++;
    threads->ready.wait(lock, [&] { return !threads->deliver || !threads->names.empty(); });
    threads->idle--;
    if (!threads->deliver) return;
    const std::string name = std::move(threads->names.front());
    threads->names.pop_front();
    lock.unlock();
    NameAnswer answer = threads->ask(name);
    lock.lock();
    // Under the mutex: stop() returns only when nobody uses the loop any more.
    if (threads->deliver) threads->deliver(name, std::move(answer));
  }
}

}  // namespace om::io
