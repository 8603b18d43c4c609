// Memory of this machine's graphics cards: what they have, and what a runner took of it.
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

// How much of a model lies on this machine's cards.
struct GraphicsUse {
  uint64_t bytes = 0;
  bool all_layers = false;  // llama-server also says so without a card.
  bool whole() const { return all_layers && bytes > 0; }

  // Learns from a line of llama-server's log while it loads.
  void read(std::string_view line);
};

// The cards that runners use, as `program` (tools/ggml_devices.cpp) prints them. Integrated ones
// only if there are no others, as llama.cpp chooses. Empty: no cards, or no such program.
// unavailable: the program failed; the driver is broken, say. deadline_exceeded: after 10 s.
io::Task<Result<std::vector<GraphicsCard>>> read_cards(io::World& world, std::string program);

// One line of that program; nullopt: it is not about a card.
std::optional<GraphicsCard> parse_card(std::string_view line);

// Bytes of the buffer in a line of llama-server's log, if it lies on a card of this machine:
//   load_tensors:        CUDA0 model buffer size =  4095.05 MiB
// Buffers of the processor ("CPU", "CPU_Mapped", "CPU_REPACK"), those that a card's driver keeps in
// main memory ("CUDA_Host") and those of other nodes ("RPC0[127.0.0.1:50052]") count 0.
uint64_t card_buffer_bytes(std::string_view line);

// Whether all layers are on cards, from a line like this:
//   load_tensors: offloaded 31/31 layers to GPU
// nullopt: the line is about something else.
std::optional<bool> all_layers_on_card(std::string_view line);

}  // namespace om::engine
