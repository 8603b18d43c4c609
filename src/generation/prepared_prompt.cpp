#include "generation/prepared_prompt.h"

#include <algorithm>

#include "base/check.h"
#include "generation/prompt_tokens.h"
#include "prompt/media.h"

namespace om::generation {
namespace {

// The messages without the oldest `dropped` ones; system messages and the last one stay.
std::vector<model::Message> without_oldest(const std::vector<model::Message>& messages,
                                           size_t dropped) {
  std::vector<model::Message> kept;
  for (size_t i = 0; i < messages.size(); i++) {
    if (i >= dropped || messages[i].role == "system") kept.push_back(messages[i]);
  }
  return kept;
}

std::vector<std::string> take_images(const std::vector<model::Message>& messages) {
  std::vector<std::string> images;
  for (const model::Message& message : messages) {
    images.insert(images.end(), message.images.begin(), message.images.end());
  }
  return images;
}

io::Task<Result<void>> count(const PromptSetting& setting, PreparedPrompt& prepared,
                             io::Call call) {
  std::string text = prepared.rendered.prompt;
  CO_TRY(prepared.tokens,
         co_await tokenize_prompt(setting.engine, setting.model, std::move(text), call));
  prepared.token_count = static_cast<int64_t>(prepared.tokens.size()) +
                         static_cast<int64_t>(prepared.media.size()) * kImageTokens;
  co_return Result<void>{};
}

bool fits(const PromptSetting& setting, const PreparedPrompt& prepared) {
  return prepared.token_count <= setting.context - 1;
}

// The prompt as it is sent: cut in the middle if that is allowed and needed.
Result<PreparedPrompt> finish(const PromptSetting& setting, PreparedPrompt prepared, bool cut) {
  if (!prepared.media.empty()) {  // Its true length is known to the runner only.
    prepared.rendered.prompt = std::string(without_bos(prepared.rendered.prompt, setting.model));
    prepared.tokens.clear();
    return prepared;
  }
  if (fits(setting, prepared)) return prepared;
  if (!setting.shift) return too_long_unshifted();
  if (!cut) return too_long(prepared.tokens.size(), setting.context);
  const int64_t whole = prepared.token_count;
  const int num_keep = std::min(setting.options.sampling.num_keep, setting.context);
  prepared.tokens = truncate_tokens(std::move(prepared.tokens), setting.context,
                                    keep_of(num_keep, setting.model, setting.context));
  prepared.token_count = static_cast<int64_t>(prepared.tokens.size());
  prepared.tokens_left_out = whole - prepared.token_count;
  return prepared;
}

// One conversation in several lengths.
class ChatFitting {
 public:
  ChatFitting(const PromptSetting& setting, model::ChatRequest request, io::Call call)
      : setting_(setting), call_(std::move(call)) {
    messages_ = std::move(request.messages);
    input_.tools = std::move(request.tools);
    input_.tool_choice = std::move(request.tool_choice);
    input_.parallel_tool_calls = request.parallel_tool_calls;
    input_.think = setting.think;
    input_.format = std::move(request.common.format);
    input_.media_marker = setting.engine.properties().media_marker;
    input_.now_seconds = setting.now_seconds;
    input_.said = std::move(request.common.said);
  }

  io::Task<Result<PreparedPrompt>> without(size_t dropped) {
    input_.messages = without_oldest(messages_, dropped);
    PreparedPrompt prepared;
    prepared.messages_left_out = messages_.size() - input_.messages.size();
    CO_TRY(prepared.rendered, setting_.chat_template.chat(input_));
    prepared.one_call = prepared.rendered.one_call || !input_.parallel_tool_calls;
    prepared.media = take_images(input_.messages);
    CO_TRY_VOID(
        prompt::settle_media(prepared.rendered.prompt, input_.media_marker, prepared.media.size()));
    CO_TRY_VOID(co_await count(setting_, prepared, call_));
    co_return prepared;
  }

  // Looks for the fewest messages to drop: a binary search, but a template may refuse some starts,
  // which tells nothing about lengths. Whether it does depends on who speaks first: all take the
  // user, many refuse the assistant, some a tool's result without its call. So the starts of each
  // are searched by themselves, each within what is still open after those before. A template
  // that wants a question in what is left refuses all starts behind the last one: where one start
  // is refused, so are the later ones that begin alike.
  io::Task<Result<PreparedPrompt>> longest_fitting() {
    Bounds open{.too_long = 0, .fits = messages_.size() - 1};
    Result<PreparedPrompt> best = co_await without(open.fits);
    for (const Speaker speaker : kSpeakers) {
      std::vector<size_t> starts = starts_of(speaker, open);
      while (!starts.empty()) {
        const auto middle = starts.begin() + static_cast<ptrdiff_t>(starts.size() / 2);
        Result<PreparedPrompt> attempt = co_await without(*middle);
        if (!attempt && attempt.error().code != Errc::invalid_argument) co_return attempt;
        if (attempt && !fits(setting_, *attempt)) {
          open.too_long = *middle;
          starts.erase(starts.begin(), middle + 1);
          continue;
        }
        if (attempt) {
          open.fits = *middle;
          best = std::move(attempt);
        }
        starts.erase(middle, starts.end());
      }
    }
    co_return best;
  }

  size_t size() const { return messages_.size(); }

 private:
  enum class Speaker { user, assistant, other };
  static constexpr Speaker kSpeakers[] = {Speaker::user, Speaker::assistant, Speaker::other};
  // Numbers of messages to drop: the most that are known to be too few, the fewest that do. All but
  // the last one are taken to do: if they do not, nothing does.
  struct Bounds {
    size_t too_long, fits;
  };

  // Those in between after which `speaker` is the first that is left. System messages stay.
  std::vector<size_t> starts_of(Speaker speaker, Bounds open) const {
    std::vector<size_t> starts;
    for (size_t dropped = open.too_long + 1; dropped < open.fits; dropped++) {
      const std::string& role = messages_[dropped].role;
      if (role == "system") continue;  // The same as to drop one more.
      const Speaker first = role == "user"        ? Speaker::user
                            : role == "assistant" ? Speaker::assistant
                                                  : Speaker::other;
      if (first == speaker) starts.push_back(dropped);
    }
    return starts;
  }

  const PromptSetting& setting_;
  io::Call call_;
  std::vector<model::Message> messages_;
  prompt::ChatInput input_;
};

}  // namespace

std::string left_out(const PreparedPrompt& prepared) {
  std::string told;
  if (prepared.messages_left_out > 0) told = fmt::format("messages={}", prepared.messages_left_out);
  if (prepared.tokens_left_out > 0) {
    told += fmt::format("{}tokens={}", told.empty() ? "" : ",", prepared.tokens_left_out);
  }
  return told;
}

std::vector<model::Message> complete_messages(const store::Model& model,
                                              std::vector<model::Message> messages) {
  const bool own_system = !messages.empty() && messages.front().role == "system";
  std::vector<model::Message> all;
  all.reserve(model.messages.size() + messages.size() + 1);
  if (!own_system && !model.system.empty()) {
    model::Message system;
    system.role = "system";
    system.content = model.system;
    all.push_back(std::move(system));
  }
  all.insert(all.end(), model.messages.begin(), model.messages.end());
  for (model::Message& message : messages) all.push_back(std::move(message));
  if (model.config.model_family == "qwen3" || model.name.model == "deepseek-r1") {
    prompt::remove_past_thinking(all);
  }
  return all;
}

io::Task<Result<PreparedPrompt>> prepare_chat(PromptSetting setting, model::ChatRequest request,
                                              io::Call call) {
  request.messages = complete_messages(setting.model, std::move(request.messages));
  CHECK(!request.messages.empty());
  ChatFitting fitting(setting, std::move(request), std::move(call));
  CO_TRY(PreparedPrompt prepared, co_await fitting.without(0));
  if (setting.truncate && !fits(setting, prepared) && fitting.size() > 1) {
    Result<PreparedPrompt> shorter = co_await fitting.longest_fitting();
    if (shorter) {
      prepared = std::move(*shorter);
    } else if (shorter.error().code != Errc::invalid_argument) {
      co_return fail(std::move(shorter).error());
    }
    // A template that refuses every shorter one leaves the whole, which is too long.
  }
  // As Ollama: only prompts of Go templates are cut inside a message.
  const bool cut = setting.truncate && setting.chat_template.kind() == prompt::Template::Kind::go;
  co_return finish(setting, std::move(prepared), cut);
}

io::Task<Result<PreparedPrompt>> prepare_generate(PromptSetting setting,
                                                  model::GenerateRequest request, io::Call call) {
  PreparedPrompt prepared;
  prepared.media = std::move(request.images);
  const std::string& marker = setting.engine.properties().media_marker;
  prompt::GenerateInput input;
  input.prompt = std::move(request.prompt);
  input.think = setting.think;
  input.format = std::move(request.common.format);
  input.said = std::move(request.common.said);
  if (request.raw) {
    CO_TRY(prepared.rendered, setting.chat_template.raw(input));
    if (!prepared.media.empty()) {
      CO_TRY(prepared.media, prompt::place_named_media(prepared.rendered.prompt, marker,
                                                       std::move(prepared.media)));
    }
  } else {
    input.suffix = std::move(request.suffix);
    input.system = request.system.empty() ? setting.model.system : request.system;
    if (request.context.empty()) {
      input.history = setting.model.messages;
    } else {
      CO_TRY(input.context_text, co_await setting.engine.detokenize(request.context, call));
    }
    input.images = prepared.media.size();
    input.media_marker = marker;
    input.now_seconds = setting.now_seconds;
    CO_TRY(prepared.rendered, setting.chat_template.generate(input));
  }
  CO_TRY_VOID(prompt::settle_media(prepared.rendered.prompt, marker, prepared.media.size()));
  CO_TRY_VOID(co_await count(setting, prepared, call));
  co_return finish(setting, std::move(prepared), setting.truncate);
}

}  // namespace om::generation
