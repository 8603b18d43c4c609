// What the room `generation` counts.
#pragma once

#include "base/metrics.h"

namespace om::generation {

inline CounterFamily prompt_tokens{"ollamamax_prompt_tokens_total",
                                   "Tokens of prompts, found in a cache or not, by model.",
                                   {"model"}};
inline CounterFamily output_tokens{
    "ollamamax_output_tokens_total", "Tokens generated, by model.", {"model"}};
inline CounterFamily key_tokens{
    "ollamamax_key_tokens_total",
    "Tokens of prompts and generated, by the key of who asked: the first 16 digits of its SHA-256.",
    {"key", "kind"}};

// What one answer took.
inline void count_answer(std::string_view model, std::string_view key, int64_t prompt,
                         int64_t output) {
  prompt_tokens.with({model}).add(static_cast<uint64_t>(prompt));
  output_tokens.with({model}).add(static_cast<uint64_t>(output));
  key_tokens.with({key, "prompt"}).add(static_cast<uint64_t>(prompt));
  key_tokens.with({key, "output"}).add(static_cast<uint64_t>(output));
}
inline Counter retried{"ollamamax_generation_retries_total",
                       "Requests begun again on a fresh runner before their first token."};
inline Counter moved{"ollamamax_generation_moves_total",
                     "Answers that went on elsewhere because their node is drained."};
inline Counter resumed{"ollamamax_generation_resumes_total",
                       "Streams continued on a fresh runner after tokens had been sent."};
inline Counter broken{"ollamamax_generation_broken_total",
                      "Requests given up because their runners kept failing."};
inline Counter truncated{"ollamamax_prompts_truncated_total",
                         "Prompts cut to fit the context, by messages or tokens."};

}  // namespace om::generation
