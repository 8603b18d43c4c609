// From messages to a prompt that fits: rendering, counting and cutting. On the io thread.
#pragma once

#include <string>
#include <vector>

#include "engine/engine.h"
#include "generation/model_access.h"
#include "prompt/render.h"

namespace om::generation {

// Everything rendering needs besides the request; references outlive the call.
struct PromptSetting {
  const store::Model& model;
  const prompt::Template& chat_template;
  engine::Engine& engine;
  model::Options options;
  int context = 0;  // Tokens prompt and output may take.
  bool truncate = true;
  bool shift = true;
  model::Think think;
  int64_t now_seconds = 0;
};

struct PreparedPrompt {
  prompt::Rendered rendered;
  std::vector<engine::Token> tokens;  // Empty if there are images: then rendered.prompt is sent.
  std::vector<std::string> media;
  int64_t token_count = 0;  // Images counted as kImageTokens each.
  bool one_call = false;    // At most one tool call is wanted.
  size_t messages_left_out = 0;
  int64_t tokens_left_out = 0;  // Of what is left of the messages.
};

// As Route::left_out.
std::string left_out(const PreparedPrompt& prepared);

// The model's stored messages and SYSTEM, then the request's.
std::vector<model::Message> complete_messages(const store::Model& model,
                                              std::vector<model::Message> messages);

// If the prompt is too long and `truncate` is set, leaves out the oldest messages, but no system
// messages and not the last one. invalid_argument: still too long, or the template refuses.
io::Task<Result<PreparedPrompt>> prepare_chat(PromptSetting setting, model::ChatRequest request,
                                              io::Call call);

// If the prompt is too long and `truncate` is set, its first num_keep tokens and its tail stay.
io::Task<Result<PreparedPrompt>> prepare_generate(PromptSetting setting,
                                                  model::GenerateRequest request, io::Call call);

}  // namespace om::generation
