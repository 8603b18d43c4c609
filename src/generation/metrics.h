// What the room `generation` counts.
#pragma once

#include "base/metrics.h"

namespace om::generation {

inline Counter prompt_tokens{"ollamamax_prompt_tokens_total",
                             "Tokens of prompts, found in a cache or not."};
inline Counter output_tokens{"ollamamax_output_tokens_total", "Tokens generated."};
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
