// A model registry that misbehaves as told: one more machine of a simulated network, or a server in
// a test's own process.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "http/server.h"
#include "io/world.h"
#include "model/manifest.h"

namespace om::sim {

struct RegistryFaults {
  bool ranges = true;
  bool redirect = false;          // 307 to the second host.
  bool auth = false;              // 401 until a token is shown.
  std::string realm_host;         // Of the challenge; empty: its own.
  bool wrong_bytes = false;       // One bit flipped.
  bool endless = false;           // Goes on after the last byte.
  bool lie_about_size = false;    // Content-Range says one byte more.
  uint64_t cut_after = 0;         // Closes each response after so many bytes; 0: never.
  int cuts_left = 1'000'000;      // So many responses are cut.
  int stalls_left = 0;            // So many responses stop after their first bytes.
  int refusals_left = 0;          // So many blob requests get 503.
  uint64_t bytes_per_second = 0;  // Of each response; 0: as fast as it can.
  bool refuse_patch = false;      // 405 to PATCH: one PUT must do.
  bool redirect_uploads = false;
  // What is left of a part that did not come whole: the bytes that came, as the OCI specification
  // has it; the parts before it, where a proxy passes on whole requests only; or nothing at all, as
  // at docker-registry, whose state in the URL must fit.
  enum class Broken : uint8_t { keeps_bytes, keeps_parts, loses_all } broken = Broken::keeps_bytes;
  uint64_t cut_uploads_every = 0;  // Closes the connection after so many bytes of all uploads.
  int upload_cuts_left = 1'000'000;
  uint64_t upload_bytes_per_second = 0;  // Of each part; 0: as fast as it can.
  int upload_stalls_left = 0;        // So many parts are read no further than their first bytes.
  int lost_answers_left = 0;         // So many parts are taken, and not answered.
  int upload_refusals_left = 0;      // So many parts get 503.
  std::string refused_upload;        // Uploads of this blob get 403.
  uint64_t spoilt_at = ~uint64_t{};  // The byte of a blob that is kept wrong, once.
};

// On the io thread. stop() must have returned before it is destroyed.
class SimRegistry {
 public:
  // At `at` and, what it redirects, at the next port; 0: any two.
  explicit SimRegistry(io::World& world, io::Endpoint at = io::Endpoint::tcp("127.0.0.1", 0));

  RegistryFaults faults;
  std::map<std::string, std::string> blobs;      // By digest.
  std::map<std::string, std::string> manifests;  // By "ns/model:tag".
  std::vector<std::string> log;                  // "GET /v2/...", in order.
  uint64_t blob_bytes_sent = 0;
  // What one machine drew of one blob.
  struct Drawn {
    uint64_t bytes = 0;
    int requests = 0, wrong = 0;  // Answers with bytes, and those with a wrong one among them.
  };
  std::map<std::pair<std::string, std::string>, Drawn> drawn;  // By address and digest.
  uint64_t upload_bytes_received = 0;
  size_t uploads_at_once = 0;  // The most parts that were being received at the same time.
  bool signed_host_saw_login = false;

  std::string host() const { return main_.str(); }
  // Puts a model of such layers under "test/<model>:latest"; its manifest's bytes.
  std::string add_model(const std::string& model, const std::vector<std::string>& layers);
  size_t count(std::string_view start) const;  // Requests in the log that begin so.
  void forget_uploads() { sessions_.clear(); }
  io::Task<void> stop();

 private:
  io::Task<void> serve(http::Request& request, http::BodyReader& body,
                       http::ResponseWriter& response);
  io::Task<void> serve_signed(http::Request& request, http::BodyReader& body,
                              http::ResponseWriter& response);
  io::Task<void> send(http::ResponseWriter& response, int status, std::string text);
  io::Task<void> send_blob(http::Request& request, http::ResponseWriter& response,
                           std::string_view digest);
  // `own`: how much of it is the blob's.
  io::Task<void> write_body(http::Request& request, http::ResponseWriter& response,
                            std::string data, uint64_t own, Drawn& note);
  io::Task<void> serve_upload(http::Request& request, http::BodyReader& body,
                              http::ResponseWriter& response);

  io::Task<void> start_upload(http::Request& request, http::ResponseWriter& response);
  io::Task<void> take_part(http::Request& request, http::BodyReader& body,
                           http::ResponseWriter& response, const std::string& id);
  io::Task<bool> receive_part(http::Request& request, http::BodyReader& body,
                              std::shared_ptr<std::string> data);
  void point_to(http::ResponseWriter& response, const std::string& id);

  io::World& world_;
  http::Server server_, signed_;
  io::Endpoint main_, signed_at_;
  // What each upload has received; a part that is still coming outlives its session.
  std::map<std::string, std::shared_ptr<std::string>> sessions_;
  size_t parts_under_way_ = 0;
  uint64_t since_cut_ = 0;
};

}  // namespace om::sim
