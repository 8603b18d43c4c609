#include "prompt/llama_chat.h"

#include <chat.h>
#include <jinja/limits.h>
#include <json-schema-to-grammar.h>
#include <log.h>

#include <algorithm>
#include <exception>

#include "prompt/grammar.h"
#include "prompt/llama_direct.h"
#include "prompt/llama_inputs.h"
#include "prompt/llama_known.h"
#include "prompt/turns.h"

namespace om::prompt::llama {

namespace {

// The library prints prompts and answers to stderr in some cases; nothing of it may be seen.
void silence() {
  static const bool done = [] {
    common_log_set_verbosity_thold(-1);
    return true;
  }();
  (void)done;
}

// Turns every exception of the library into an Error. Whoever makes a model writes its template:
// what all its runs within `work` take has one bound, for the library goes on behind failed ones.
template <class Work>
auto guarded(Errc code, std::string_view what, Work&& work) -> Result<decltype(work())> {
  silence();
  const jinja::limits::scope limits;
  try {
    return work();
  } catch (const std::exception& error) {
    return fail(code, "{}: {}", what, error.what());
  } catch (...) {
    return fail(code, "{}: unknown error", what);
  }
}

// Whether the saved parser takes all text as content, so that parsing can be skipped. It tries
// two texts: one without and one with the markers that templates use.
bool takes_all(const common_chat_parser_params& params) {
  static const std::string kPlain = " \n abc \n";
  static const std::string kMarkers =
      "abc <think>x</think> [THINK]y[/THINK] "
      "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"
      " [TOOL_CALLS][{}] <|python_tag|> <function=f></function> ```json\n{}\n``` <|channel|>final"
      " {\"name\": \"f\", \"parameters\": {}} <|END_RESPONSE|> functions.f:0";
  for (const auto& text : {kPlain, kMarkers}) {
    for (bool partial : {true, false}) {
      auto message = common_chat_parse(text, partial, params);
      if (message.content != text || !message.reasoning_content.empty() ||
          !message.tool_calls.empty()) {
        return false;
      }
    }
  }
  return true;
}

// Those of a template that the library has found out itself; of others it does not tell all.
bool begin_with_signs(const common_chat_params& applied) {
  std::vector<std::string> markers = applied.preserved_tokens;
  markers.insert(markers.end(), applied.additional_stops.begin(), applied.additional_stops.end());
  for (const auto& trigger : applied.grammar_triggers) markers.push_back(trigger.value);
  return std::ranges::none_of(markers, [](const std::string& marker) {
    return marker.empty() || is_prose_character(marker.front());
  });
}

// The library's parsers recurse with each bracket, some kilobytes of stack a level, and a model
// that repeats itself may open thousands. Arguments of a call that is given out nest 32 deep at
// most.
constexpr int kOpenBracketsMax = 200;

// How many brackets may be open at a place of a text of which any part may be JSON: the most of all
// ways to read it.
class OpenBrackets {
 public:
  // Of text with such strings, in JSON `"`; others write `'`.
  explicit OpenBrackets(char quote) : quote_(quote) {}

  int add(char c) {
    int outside = outside_, inside = escaped_, escaped = kNone;
    if (c == quote_) {
      inside = std::max(inside, outside_);
      outside = std::max(0, inside_);
    } else if (c == '\\') {
      escaped = inside_;
      outside = 0;
    } else {
      inside = std::max(inside, inside_);
      if (c == '[' || c == '{') {
        outside++;
      } else if (c == ']' || c == '}') {
        outside = std::max(0, outside - 1);
      } else if (!kBetween[static_cast<uint8_t>(c)]) {
        outside = 0;
      }
    }
    outside_ = outside, inside_ = inside, escaped_ = escaped;
    return outside_;
  }

 private:
  static constexpr int kNone = -1;
  // What stands between brackets outside of strings: true, false, null, None, numbers.
  static constexpr auto kBetween = [] {
    std::array<bool, 256> between{};
    for (const char c : std::string_view(" \t\r\n,:+-.0123456789aeflnorstuEFNT\"'")) {
      between[static_cast<uint8_t>(c)] = true;
    }
    return between;
  }();

  char quote_;
  // Open where the place is outside a string, in one, behind a backslash in one.
  int outside_ = 0, inside_ = kNone, escaped_ = kNone;
};

bool nests_too_deep(std::string_view text) {
  OpenBrackets json('"'), python('\'');
  for (const char c : text) {
    if (std::max(json.add(c), python.add(c)) > kOpenBracketsMax) return true;
  }
  return false;
}

class Parser : public OutputParser {
 public:
  struct Hints {
    bool continuation = false, may_be_plain = false, markers_known = false;
  };

  Parser(common_chat_params& applied, Hints hints)
      : params_(applied), markers_are_signs_(hints.markers_known && begin_with_signs(applied)) {
    params_.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params_.is_continuation = hints.continuation;
    if (!applied.parser.empty()) params_.parser.load(applied.parser);
    if (hints.continuation) {
      auto before = common_chat_parse("", true, params_);
      content_before_ = before.content;
      thinking_before_ = before.reasoning_content;
    }
    plain_ = hints.may_be_plain && !hints.continuation && probe();
  }

  Result<Parsed> parse(const std::string& text, bool partial) const override {
    if (nests_too_deep(text)) {
      return fail(Errc::invalid_argument, "parse answer: more than {} brackets are open",
                  kOpenBracketsMax);
    }
    return guarded(Errc::internal, "parse answer", [&] {
      auto message = common_chat_parse(text, partial, params_);
      Parsed parsed{without(std::move(message.content), content_before_),
                    without(std::move(message.reasoning_content), thinking_before_),
                    {}};
      for (auto& call : message.tool_calls) {
        parsed.tool_calls.push_back({call.id, call.name, call.arguments});
      }
      return parsed;
    });
  }

  bool plain() const override { return plain_; }
  bool markers_are_signs() const override { return markers_are_signs_; }

 private:
  // The library parses the part of the turn that was there before, too.
  static std::string without(std::string text, const std::string& before) {
    return text.starts_with(before) ? text.substr(before.size()) : text;
  }
  bool probe() const {
    try {
      return takes_all(params_);
    } catch (const std::exception&) {
      return false;
    }
  }

  common_chat_parser_params params_;
  std::string content_before_, thinking_before_;
  bool plain_ = false, markers_are_signs_ = false;
};

// An answer of a given form, or calls instead of it: what of them a text is.
class EitherParser : public OutputParser {
 public:
  EitherParser(std::shared_ptr<const OutputParser> answer,
               std::shared_ptr<const OutputParser> calls)
      : answer_(std::move(answer)), calls_(std::move(calls)) {}

  Result<Parsed> parse(const std::string& text, bool partial) const override {
    // Taken for whole texts, parsers fail at what cannot become theirs any more.
    auto calls = calls_->parse(text, false);
    auto answer = answer_->parse(text, false);
    if (!calls && !answer) return calls_->parse(text, partial);
    if (!calls || !answer) return calls ? calls : answer;
    const bool called = !calls->tool_calls.empty();
    const bool undecided = partial && calls->content.empty();
    return called || undecided ? calls : answer;
  }

  bool plain() const override { return false; }
  bool markers_are_signs() const override { return false; }

 private:
  std::shared_ptr<const OutputParser> answer_, calls_;
};

class Compiled : public ChatTemplate {
 public:
  Compiled(common_chat_templates_ptr templates, std::optional<DirectRenderer> direct)
      : templates_(std::move(templates)), direct_(std::move(direct)) {
    const auto able = common_chat_templates_get_caps(templates_.get());
    takes_one_call_ = able.at("supports_tool_calls") && !able.at("supports_parallel_tool_calls");
    reads_results_ = reads_results(common_chat_templates_source(templates_.get()));
  }

  bool takes_one_call() const override { return takes_one_call_; }
  Result<Applied> apply(const ChatInput& input) const override {
    return guarded(Errc::invalid_argument, "chat template", [&] { return apply_throwing(input); });
  }

 private:
  Applied apply_throwing(const ChatInput& input) const {
    common_chat_templates_inputs inputs = to_inputs(input, reads_results_);
    if (may_be_tried(input.tools)) {
      try {
        return apply_tools_as_sent(input, inputs);
      } catch (const std::exception&) {
        if (!mend_tools(inputs)) throw;
      }
    } else {
      mend_tools(inputs);
    }
    return apply_anew(input, inputs).applied;
  }

  Applied apply_tools_as_sent(const ChatInput& input,
                              const common_chat_templates_inputs& inputs) const {
    if (!direct_ || continues(input)) return apply_anew(input, inputs).applied;
    const Digest key = KnownAnswers::key_of(input);
    if (auto known = known_.find(key)) {
      auto prompt = render_once(inputs);
      if (prompt && prompt->ends_with(known->generation_prompt)) {
        known->applied.prompt = std::move(*prompt);
        return std::move(known->applied);
      }
    }
    Known made = apply_anew(input, inputs);
    std::string prompt = std::exchange(made.applied.prompt, {});  // Not to be kept: it may be long.
    if (render_once(inputs) == prompt) known_.put(key, made);
    made.applied.prompt = std::move(prompt);
    return std::move(made.applied);
  }

  // Nothing where it fails: the library decides whether that is so.
  std::optional<std::string> render_once(const common_chat_templates_inputs& inputs) const {
    try {
      return direct_->render(inputs);
    } catch (const std::exception&) {
      return std::nullopt;
    }
  }

  Known apply_anew(const ChatInput& input, const common_chat_templates_inputs& inputs) const {
    if (!inputs.json_schema.empty() && !inputs.tools.empty() &&
        inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_AUTO) {
      if (auto both = apply_form_or_calls(input, inputs)) return std::move(*both);
    }
    return apply_as_asked(input, inputs);
  }

  // An answer of a given form, or calls: the library makes grammars of one or the other. Nothing
  // where it makes none, or lets the model talk before a call, for then the form is not kept.
  std::optional<Known> apply_form_or_calls(const ChatInput& input,
                                           common_chat_templates_inputs inputs) const {
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
    Known form = apply_as_asked(input, inputs);
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    inputs.json_schema.clear();
    const Known calls = apply_as_asked(input, inputs);
    Constraint& both = form.applied.constraint;
    const Constraint& call = calls.applied.constraint;
    if (both.grammar.empty() || call.grammar.empty() || both.grammar_lazy || call.grammar_lazy ||
        form.generation_prompt != calls.generation_prompt || talks_before_call(call.grammar)) {
      return std::nullopt;
    }
    both.grammar = either_grammar(both.grammar, call.grammar);
    for (const auto& token : call.preserved_tokens) {
      if (std::ranges::find(both.preserved_tokens, token) == both.preserved_tokens.end()) {
        both.preserved_tokens.push_back(token);
      }
    }
    form.applied.parser =
        std::make_shared<const EitherParser>(std::move(form.applied.parser), calls.applied.parser);
    return form;
  }

  Known apply_as_asked(const ChatInput& input, const common_chat_templates_inputs& inputs) const {
    auto params = common_chat_templates_apply(templates_.get(), inputs);
    Known made{.applied = {}, .generation_prompt = params.generation_prompt};
    Applied& applied = made.applied;
    applied.thinks = params.supports_thinking;
    const bool may_be_plain =
        !params.supports_thinking && input.tools.empty() && inputs.json_schema.empty();
    applied.parser =
        std::make_shared<const Parser>(params, Parser::Hints{.continuation = continues(input),
                                                             .may_be_plain = may_be_plain,
                                                             .markers_known = direct_.has_value()});
    applied.prompt = std::move(params.prompt);
    applied.stops = std::move(params.additional_stops);
    applied.constraint = constraint_of(params);
    if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
      applied.constraint.grammar = call_grammar(std::move(applied.constraint.grammar));
    }
    return made;
  }

  static Constraint constraint_of(common_chat_params& params) {
    Constraint out;
    out.preserved_tokens = std::move(params.preserved_tokens);
    if (params.grammar.empty()) return out;
    out.grammar = std::move(params.grammar);
    out.grammar_lazy = params.grammar_lazy;
    out.generation_prompt = std::move(params.generation_prompt);
    out.tool_grammar = true;
    for (auto& trigger : params.grammar_triggers) {
      out.grammar_triggers.push_back({static_cast<int>(trigger.type), trigger.value});
    }
    return out;
  }

  common_chat_templates_ptr templates_;
  std::optional<DirectRenderer> direct_;
  bool takes_one_call_ = false, reads_results_ = false;
  mutable KnownAnswers known_;
};

}  // namespace

bool is_prose_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(" ,.;:!?'()-").find(c) != std::string_view::npos;
}

Result<std::shared_ptr<const ChatTemplate>> compile(const std::string& text,
                                                    const std::string& bos_token,
                                                    const std::string& eos_token) {
  return guarded(Errc::invalid_argument, "chat template", [&] {
    auto templates =
        common_chat_templates_init(nullptr, text.empty() ? "chatml" : text, bos_token, eos_token);
    auto direct =
        DirectRenderer::make(common_chat_templates_source(templates.get()), bos_token, eos_token);
    return std::shared_ptr<const ChatTemplate>(
        std::make_shared<const Compiled>(std::move(templates), std::move(direct)));
  });
}

Result<std::string> schema_grammar(const std::string& schema) {
  return guarded(Errc::invalid_argument, "JSON schema",
                 [&] { return json_schema_to_grammar(common_json::parse(schema)); });
}

}  // namespace om::prompt::llama
