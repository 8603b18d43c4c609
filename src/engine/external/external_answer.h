// An answer that a foreign server streams, as our chunks.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "engine/external/external_events.h"
#include "engine/external/silence_limit.h"
#include "http/client.h"
#include "http/event_stream.h"

namespace om::engine {

// On the io thread. Destroying it closes the connection, which ends the work there.
class ExternalAnswer {
 public:
  // The response's request was sent with the limit's token.
  ExternalAnswer(std::unique_ptr<SilenceLimit> limit,
                 std::unique_ptr<http::ClientResponse> response,
                 std::unique_ptr<EventParser> parser, bool lines);

  // After a chunk with `done` it must not be asked again. unavailable: the server died, fell silent
  // or ended early. corrupt: it sent nonsense. An error of the server's own: by its status or
  // words.
  io::Task<Result<model::Chunk>> next();

 private:
  Result<void> take(std::string_view bytes);
  Result<void> take_event(std::string_view data);

  std::unique_ptr<SilenceLimit> limit_;  // Outlives the response.
  std::unique_ptr<http::ClientResponse> response_;
  std::unique_ptr<EventParser> parser_;
  bool lines_;  // JSON lines, else server-sent events.
  http::SseReader events_;
  http::NdjsonReader json_lines_;
  std::deque<model::Chunk> chunks_;
  std::optional<Error> failed_;  // Told after the chunks that came before it.
};

}  // namespace om::engine
