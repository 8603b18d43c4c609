#include "prompt/render.h"

#include <algorithm>

#include "base/digest.h"
#include "base/lru_cache.h"
#include "model/capabilities.h"
#include "prompt/answer_format.h"
#include "prompt/go_render.h"
#include "prompt/llama_chat.h"
#include "prompt/media.h"
#include "prompt/text.h"
#include "prompt/turns.h"

namespace om::prompt {

namespace {

constexpr auto kBare = "{{ .Prompt }}";

class TemplateBase : public Template {
 public:
  TemplateBase(Kind kind, TemplateCapabilities capabilities, std::string text, std::string note)
      : kind_(kind), capabilities_(capabilities), text_(std::move(text)), note_(std::move(note)) {}
  Kind kind() const override { return kind_; }
  const TemplateCapabilities& capabilities() const override { return capabilities_; }
  const std::string& text() const override { return text_; }
  const std::string& note() const override { return note_; }
  Result<Rendered> raw(const GenerateInput& input) const override {
    Rendered rendered;
    rendered.prompt = input.prompt + input.said;
    TRY(rendered.constraint.grammar, format_grammar(input.format));
    rendered.constraint.tool_grammar = true;  // So that a resumed answer advances it.
    return rendered;
  }

 private:
  Kind kind_;
  TemplateCapabilities capabilities_;
  std::string text_, note_;
};

class GoChatTemplate : public TemplateBase {
 public:
  GoChatTemplate(GoRenderer renderer, std::string text, std::string note)
      : TemplateBase(Kind::go, renderer.capabilities(), std::move(text), std::move(note)),
        renderer_(std::move(renderer)) {}
  Result<Rendered> chat(const ChatInput& input) const override { return renderer_.chat(input); }
  Result<Rendered> generate(const GenerateInput& input) const override {
    return renderer_.generate(input);
  }
  Result<Rendered> raw(const GenerateInput& input) const override {
    if (!input.think.enabled || !capabilities().thinking) return TemplateBase::raw(input);
    return renderer_.raw(input);
  }

 private:
  GoRenderer renderer_;
};

// Some templates leave out a system message that is not the first one.
bool tells_all_rules(std::string_view prompt, const std::vector<model::Message>& messages) {
  return std::ranges::all_of(messages, [&](const model::Message& message) {
    return &message == &messages.front() || message.role != "system" ||
           prompt.contains(trim_blanks(message.content));
  });
}

// Many templates refuse what clients send and what others take: rules in the middle, two turns of
// the user in a row, a word of the user behind a tool's result. They get it in the turns they know.
Result<llama::Applied> apply_in_turns(const llama::ChatTemplate& chosen, const ChatInput& input) {
  auto as_sent = chosen.apply(input);
  if (as_sent && tells_all_rules(as_sent->prompt, input.messages)) return as_sent;
  const auto turns = in_turns(input.messages, input.media_marker);
  ChatInput changed = input;
  for (const auto& messages : {turns, with_users_in_results(turns)}) {
    constexpr auto kRole = &model::Message::role;
    if (std::ranges::equal(messages, changed.messages, {}, kRole, kRole)) continue;
    changed.messages = messages;
    if (auto applied = chosen.apply(changed)) return applied;
  }
  return as_sent;
}

Result<Rendered> apply_settled(const llama::ChatTemplate& chosen, const ChatInput& input) {
  if (input.format.kind == model::Format::Kind::schema) {
    // Checked here for its size and depth, and so that the message names the schema.
    TRY_VOID(format_grammar(input.format));
  }
  TRY(auto applied, apply_in_turns(chosen, input));
  Rendered rendered;
  rendered.prompt = std::move(applied.prompt);
  if (rendered.prompt.size() > kPromptBytesMax) {
    return fail(Errc::invalid_argument, "the prompt exceeds {} bytes", kPromptBytesMax);
  }
  rendered.constraint = std::move(applied.constraint);
  rendered.stops = std::move(applied.stops);
  rendered.answer = jinja_answer_format(std::move(applied.parser));
  return rendered;
}

Result<Rendered> apply(const llama::ChatTemplate& chosen, const ChatInput& input) {
  if (is_settled(input)) return apply_settled(chosen, input);
  return apply_settled(chosen, settled(input));
}

class JinjaChatTemplate : public TemplateBase {
 public:
  JinjaChatTemplate(std::shared_ptr<const llama::ChatTemplate> main,
                    std::shared_ptr<const llama::ChatTemplate> tools, TemplateCapabilities able,
                    TemplateSource source, std::string note)
      : TemplateBase(Kind::jinja, able, std::move(source.jinja), std::move(note)),
        main_(std::move(main)),
        tools_(std::move(tools)),
        bos_(std::move(source.bos_token)) {}

  Result<Rendered> chat(const ChatInput& input) const override {
    if (!input.tools.empty() && !capabilities().tools) {
      return fail(Errc::unsupported, "the model's template has no place for tools");
    }
    const auto& chosen = tools_ && !input.tools.empty() ? *tools_ : *main_;
    // The channel format knows no more than "high".
    const bool too_high = input.think.level == "max" && text().contains("<|channel|>");
    const bool wants_ids_of_nine = text().contains("length != 9");
    const bool one_call = chosen.takes_one_call();
    if (!too_high && !wants_ids_of_nine && !one_call) return apply(chosen, input);
    ChatInput changed = input;
    if (too_high) changed.think.level = "high";
    if (wants_ids_of_nine) changed.messages = with_ids_of_nine(std::move(changed.messages));
    if (one_call) {
      changed.messages = with_single_calls(std::move(changed.messages));
      changed.parallel_tool_calls = false;
    }
    auto rendered = apply(chosen, changed);
    if (rendered) rendered->one_call = one_call;
    return rendered;
  }

  Result<Rendered> generate(const GenerateInput& input) const override {
    if (!input.suffix.empty()) {
      return fail(Errc::unsupported, "the model's template has no place for a suffix");
    }
    ChatInput chat_input;
    if (!input.system.empty()) {
      chat_input.messages.push_back({.role = "system", .content = input.system});
    }
    chat_input.messages.insert(chat_input.messages.end(), input.history.begin(),
                               input.history.end());
    model::Message user{.role = "user", .content = input.prompt};
    user.images.resize(input.images);
    chat_input.messages.push_back(std::move(user));
    chat_input.said = input.said;
    chat_input.think = input.think;
    chat_input.format = input.format;
    chat_input.media_marker = input.media_marker;
    chat_input.now_seconds = input.now_seconds;
    TRY(auto rendered, chat(chat_input));
    if (input.context_text.empty()) return rendered;
    if (!bos_.empty() && rendered.prompt.starts_with(bos_)) rendered.prompt.erase(0, bos_.size());
    rendered.prompt.insert(0, input.context_text);
    return rendered;
  }

 private:
  std::shared_ptr<const llama::ChatTemplate> main_, tools_;
  std::string bos_;
};

// A model without any template.
class BareTemplate : public TemplateBase {
 public:
  BareTemplate(std::shared_ptr<const llama::ChatTemplate> chatml, GoRenderer bare, std::string note)
      : TemplateBase(Kind::none, {}, kBare, std::move(note)),
        chatml_(std::move(chatml)),
        bare_(std::move(bare)) {}
  Result<Rendered> chat(const ChatInput& input) const override {
    if (!input.tools.empty()) {
      return fail(Errc::unsupported, "the model has no template, so none for tools");
    }
    return apply(*chatml_, input);
  }
  Result<Rendered> generate(const GenerateInput& input) const override {
    return bare_.generate(input);
  }

 private:
  std::shared_ptr<const llama::ChatTemplate> chatml_;
  GoRenderer bare_;
};

TemplateCapabilities jinja_capabilities(const TemplateSource& source) {
  const auto features = model::jinja_features(source.jinja, source.jinja_tools);
  return {.tools = features.tools, .thinking = features.thinking};
}

Result<std::shared_ptr<const Template>> make_go(const TemplateSource& source, std::string note) {
  TRY(auto parsed, parse_model_template(source.go));
  return std::make_shared<GoChatTemplate>(GoRenderer(std::move(parsed)), source.go,
                                          std::move(note));
}

// Some templates call the switch of their thoughts `thinking`, as DeepSeek V3.1's. The library sets
// `enable_thinking` only, and finds out by it how the answers look. Not Granite's, which ask for no
// definition: the library would leave marks in what their models say behind a thought.
std::string with_known_switch(const std::string& jinja) {
  const bool reads = jinja.contains("if thinking is ") || jinja.contains("if not thinking is ");
  if (!reads || jinja.contains("enable_thinking")) return jinja;
  return "{%- set thinking = enable_thinking %}" + jinja;
}

Result<std::shared_ptr<const llama::ChatTemplate>> compile(const TemplateSource& source,
                                                           const std::string& jinja, bool thinks) {
  return llama::compile(thinks ? with_known_switch(jinja) : jinja, source.bos_token,
                        source.eos_token);
}

Result<std::shared_ptr<const Template>> make_jinja(TemplateSource source, std::string note) {
  const TemplateCapabilities able = jinja_capabilities(source);
  TRY(auto main, compile(source, source.jinja, able.thinking));
  std::shared_ptr<const llama::ChatTemplate> tools;
  if (!source.jinja_tools.empty()) {
    TRY(tools, compile(source, source.jinja_tools, able.thinking));
  }
  return std::make_shared<JinjaChatTemplate>(std::move(main), std::move(tools), able,
                                             std::move(source), std::move(note));
}

Result<std::shared_ptr<const Template>> make_bare(std::string note) {
  TRY(auto chatml, llama::compile("", "", ""));
  TRY(auto bare, parse_model_template(kBare));
  return std::make_shared<BareTemplate>(std::move(chatml), GoRenderer(std::move(bare)),
                                        std::move(note));
}

std::string reason_for_jinja(const TemplateSource& source) {
  return model::reason_for_jinja({.go = source.go,
                                  .jinja = source.jinja,
                                  .jinja_tools = source.jinja_tools,
                                  .renderer = source.renderer,
                                  .parser = source.parser,
                                  .prefer_jinja = source.prefer_jinja});
}

}  // namespace

Result<std::shared_ptr<const Template>> make_template(TemplateSource source) {
  for (const auto* text : {&source.go, &source.jinja, &source.jinja_tools}) {
    if (text->size() > kTemplateBytesMax) {
      return fail(Errc::invalid_argument, "template exceeds {} bytes", kTemplateBytesMax);
    }
  }
  if (source.go_required) return make_go(source, "the request brought its template");
  const std::string reason = reason_for_jinja(source);
  if (!reason.empty()) {
    if (source.jinja.empty()) {
      return fail(Errc::unsupported,
                  "the model cannot be used: {}, and its GGUF has no chat template", reason);
    }
    auto made = make_jinja(source, reason);
    if (made || source.go.empty() || model::is_harmony(source.go)) return made;
    return make_go(source, "the GGUF's template is broken: " + made.error().what);
  }
  if (!source.go.empty()) return make_go(source, "");
  return make_bare("the model has no template");
}

std::string chosen_text(const TemplateSource& source) {
  const bool own = source.go_required || reason_for_jinja(source).empty();
  if (!own && !source.jinja.empty()) return source.jinja;
  return own && source.go.empty() ? kBare : source.go;
}

Result<void> check_go_template(std::string_view text) {
  TRY_VOID(parse_model_template(text));
  return {};
}

// What a template that was read keeps, as a multiple of its source.
constexpr size_t kBytesPerSourceByte = 8;
constexpr size_t kCachedBytesMax = 16 << 20;

struct TemplateCache::State {
  explicit State(size_t entries_max)
      : entries("templates", {.entries_max = entries_max, .bytes_max = kCachedBytesMax}) {}
  LruCache<std::string, std::shared_ptr<const Template>> entries;
};

TemplateCache::TemplateCache(size_t entries_max)
    : state_(std::make_unique<State>(std::max<size_t>(entries_max, 1))) {}
TemplateCache::~TemplateCache() = default;

Result<std::shared_ptr<const Template>> TemplateCache::get(const TemplateSource& source) {
  std::string key;
  for (const auto* part : {&source.go, &source.jinja, &source.jinja_tools, &source.bos_token,
                           &source.eos_token, &source.renderer, &source.parser}) {
    key += std::to_string(part->size()) + ':' + *part;
  }
  key += source.go_required ? 'g' : '-';
  key += source.prefer_jinja ? 'j' : '-';
  const size_t bytes = key.size() * kBytesPerSourceByte;
  key = Digest::of(key).hex();
  if (const auto* found = state_->entries.get(key)) return *found;
  TRY(auto made, make_template(source));
  state_->entries.put(key, made, bytes);
  return made;
}

void remove_past_thinking(std::vector<model::Message>& messages) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  size_t last_user = messages.size();
  while (last_user > 0 && messages[last_user - 1].role != "user") --last_user;
  for (size_t i = 0; i + 1 < last_user; ++i) {
    if (messages[i].role != "assistant") continue;
    std::string& text = messages[i].content;
    size_t start = text.find_first_not_of(" \t\r\n");
    if (start == text.npos || !std::string_view(text).substr(start).starts_with(kOpen)) continue;
    size_t end = text.find(kClose, start);
    if (end == text.npos) continue;
    size_t rest = text.find_first_not_of(" \t\r\n", end + kClose.size());
    text.erase(0, rest);
  }
}

}  // namespace om::prompt
