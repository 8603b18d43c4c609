#include "http/client_pool.h"

#include <algorithm>

namespace om::http {

std::string ClientPool::key(const ClientRequest& request) {
  std::string key = request.endpoint.str();
  if (const io::Tls* tls = request.tls.get()) {
    // All that decides who is trusted: a connection made without a check is not reused with one.
    key += fmt::format("|{}|{}|{}|{}|{}|{}", tls->server_name, tls->ca_file,
                       tls->ca_pin ? tls->ca_pin->hex() : "", tls->certificate_file, tls->key_file,
                       tls->verify);
  }
  if (request.proxy) key += "|" + request.proxy->at.str();
  return key;
}

std::unique_ptr<io::Stream> ClientPool::take(const std::string& key) {
  const auto found = idle_.find(key);
  if (found == idle_.end()) return nullptr;
  const io::TimePoint now = clock_.now();
  std::unique_ptr<io::Stream> stream;
  auto& streams = found->second;
  while (!streams.empty() && !stream) {
    Idle idle = std::move(streams.back());
    streams.pop_back();
    if (now - idle.since < limits_.idle_max && idle.stream->is_idle()) {
      stream = std::move(idle.stream);
    }
  }
  if (streams.empty()) idle_.erase(found);
  return stream;
}

void ClientPool::put(const std::string& key, std::unique_ptr<io::Stream> stream) {
  if (limits_.idle_per_endpoint_max == 0) return;
  if (idle_.size() >= kEndpointsMax && !idle_.contains(key)) return;
  stream->set_deadline(io::kNever);
  auto& streams = idle_[key];
  if (streams.size() >= limits_.idle_per_endpoint_max) streams.erase(streams.begin());
  const io::TimePoint now = clock_.now();
  streams.push_back(Idle{std::move(stream), now});
  if (timer_ == 0) timer_ = clock_.start_timer(now + limits_.idle_max, [this] { drop_old(); });
}

void ClientPool::clear() {
  idle_.clear();
  clock_.cancel_timer(timer_);
  timer_ = 0;
}

// The server closes its end of those that nobody uses; ours would keep their descriptors.
void ClientPool::drop_old() {
  timer_ = 0;
  const io::TimePoint now = clock_.now();
  io::TimePoint oldest = io::kNever;
  for (auto& [key, streams] : idle_) {
    std::erase_if(streams, [&](const Idle& idle) { return now - idle.since >= limits_.idle_max; });
    if (!streams.empty()) oldest = std::min(oldest, streams.front().since);
  }
  std::erase_if(idle_, [](const auto& entry) { return entry.second.empty(); });
  if (idle_.empty()) return;
  timer_ = clock_.start_timer(oldest + limits_.idle_max, [this] { drop_old(); });
}

}  // namespace om::http
