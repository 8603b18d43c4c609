// Byte streams between processes: TCP and unix sockets, with or without TLS, or simulated.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "io/task.h"

namespace om::io {

// Where to connect or listen: a TCP host and port, or the path of a unix socket.
struct Endpoint {
  std::string host;  // A name or a numeric address, without brackets.
  uint16_t port = 0;
  std::string unix_path;  // Not empty: host and port are ignored.

  static Endpoint tcp(std::string host, uint16_t port) { return {std::move(host), port, {}}; }
  static Endpoint unix_socket(std::string path) { return {{}, 0, std::move(path)}; }
  std::string str() const;
  auto operator<=>(const Endpoint&) const = default;
};

// Whether a server wants to see certificates of its clients. One that is shown must hold against
// `ca_file`, else the connection is refused.
enum class ClientCertificate {
  ignored,
  asked,  // None is fine too: a machine that joins has none yet. Handlers look at the name.
  required,
};

// TLS (1.2 or newer) for one side of a stream. As a client, the peer's certificate is checked
// against `ca_file` (empty: the system's) and `server_name` (empty: any name will do).
//
// Files are read anew for each connection made, and by a server for the first one after they
// changed. Until new files fit together, a server goes on with the old ones.
struct Tls {
  std::string server_name;
  std::string ca_file;
  // As a client that has no ca_file yet: the peer must show an authority with this fingerprint
  // (SHA-256 of its DER) that its own certificate comes from.
  std::optional<Digest> ca_pin;
  std::string certificate_file, key_file;  // Own certificate, if one is shown; may be one file.
  ClientCertificate client_certificate = ClientCertificate::ignored;  // As a server.
  bool verify = true;                                                 // As a client.
};

// An HTTP proxy that opens ways to others (RFC 9110, 9.3.6: CONNECT).
struct Proxy {
  Endpoint at;
  std::string authorization;  // The value of Proxy-Authorization; empty: none.
};

class File;

// One open connection. At most one read and one write may be pending at a time; both may be.
// Used from the io thread. Destroying it closes it; nothing may be pending then.
class Stream {
 public:
  virtual ~Stream() = default;

  // The number of bytes read, 0 only when the peer has closed its side. unavailable: reset.
  virtual Task<Result<size_t>> read_some(std::span<char> into) = 0;

  // All bytes of all parts, in one gathered write where possible; the parts must stay alive.
  virtual Task<Result<void>> write(std::span<const std::string_view> parts) = 0;
  Task<Result<void>> write(std::string_view data);

  // Writes what can be written without waiting and tells how many bytes that were, perhaps none;
  // write() takes the rest. Spares a hot path the turn through a coroutine.
  virtual Result<size_t> write_now(std::span<const std::string_view> parts) {
    (void)parts;
    return size_t{0};
  }

  // Sends bytes of a file that the kernel copies: at least one and at most `length` of them; tells
  // how many. unsupported: not with this stream or file, nothing was sent: read() and write() do
  // it. io_failed: the file ends before `offset`.
  virtual Task<Result<uint64_t>> send_file(File& file, uint64_t offset, uint64_t length);

  // Pending and later reads and writes fail with deadline_exceeded from then on (checked a few
  // times a second). A plain store: cheap enough for every chunk. kNever: no limit.
  virtual void set_deadline(TimePoint deadline) = 0;

  // Pending and later reads and writes fail with cancelled; the connection is closed.
  virtual void abort() = 0;

  // True if the peer has neither closed nor sent anything unasked: an idle pooled connection that
  // may be used again.
  virtual bool is_idle() = 0;

  virtual std::string peer() const = 0;  // "127.0.0.1:5000", for logs and address checks.
  // Whether the peer is a process of this machine: it comes from loopback or from the very address
  // that it has reached. (From elsewhere a connection with such a source is never established.)
  virtual bool from_this_machine() const;

  // Whose certificate the peer has shown and proven: its common name, and its serial as hex digits
  // (at least 32). Empty: none, or none that was checked. As a server, the handshake is part of the
  // first read.
  virtual std::string peer_certificate_name() const { return {}; }
  virtual std::string peer_certificate_serial() const { return {}; }
};

// A bound port or socket that connections come from. io thread only.
class Listener {
 public:
  virtual ~Listener() = default;
  // cancelled: close() was called. Descriptor exhaustion is waited out, not returned.
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;
  virtual void close() = 0;
  virtual Endpoint local() const = 0;  // With the port the system chose for port 0.
};

// Where rooms connect and listen. io thread only; made by the world.
class Network {
 public:
  virtual ~Network() = default;
  // not_found: there is no such name. unavailable: refused or unreachable, or the name cannot be
  // looked up now. unauthenticated: the peer's certificate is not trusted. Also cancelled,
  // deadline_exceeded; overloaded: too many names are being looked up.
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, std::shared_ptr<const Tls> tls,
                                                        Call call) = 0;
  // The same on a way that a proxy opens, which looks the name up. unavailable: the proxy refused;
  // unauthenticated: it wants a login, or as above.
  virtual Task<Result<std::unique_ptr<Stream>>> connect_through(Proxy proxy, Endpoint to,
                                                                std::shared_ptr<const Tls> tls,
                                                                Call call);
  // already_exists: the address is in use. A stale unix socket file is replaced.
  virtual Result<std::unique_ptr<Listener>> listen(Endpoint at, std::shared_ptr<const Tls> tls) = 0;
};

}  // namespace om::io
