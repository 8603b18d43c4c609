// Graphics cards: what this machine's have, and what a runner took of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/world.h"

namespace om::engine {

struct GraphicsCard {
  std::string name, description;  // "CUDA0", "NVIDIA L4".
  bool integrated = false;        // Its memory is the machine's.
  uint64_t total_bytes = 0, free_bytes = 0;
};

// What of a model lies on this machine's cards.
struct GraphicsUse {
  uint64_t bytes = 0;
  bool all_layers = false;  // llama-server says so also where there is no card.
  bool whole() const { return all_layers && bytes > 0; }

  // Learns from a line of llama-server's log while it loads.
  void read(std::string_view line);
};

// What `program` (tools/ggml_devices.cpp) prints of the cards that runners use: integrated ones
// only where there are no others, as llama.cpp chooses. Empty: there are none, or no such program.
// unavailable: it failed, as with a broken driver. deadline_exceeded: after 10 s.
io::Task<Result<std::vector<GraphicsCard>>> read_cards(io::World& world, std::string program);

// One line of that program; nothing if it is not about a card.
std::optional<GraphicsCard> parse_card(std::string_view line);

// Bytes of a buffer that llama-server's log tells of, if it lies on a card of this machine:
//   load_tensors:        CUDA0 model buffer size =  4095.05 MiB
// Buffers of the processor ("CPU", "CPU_Mapped", "CPU_REPACK"), those that a card's driver keeps in
// main memory ("CUDA_Host") and those of other nodes ("RPC0[127.0.0.1:50052]") are none.
uint64_t card_buffer_bytes(std::string_view line);

// Whether a line like this says that all layers are:
//   load_tensors: offloaded 31/31 layers to GPU
// Nothing: it is about something else.
std::optional<bool> all_layers_on_card(std::string_view line);

}  // namespace om::engine
