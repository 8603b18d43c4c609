#include "api/openai_handlers.h"

#include "api/long_reply.h"
#include "api/openai_request.h"
#include "api/openapi.h"
#include "api/standing.h"

namespace om::api {

namespace json = boost::json;

namespace {

// Answers to one request are told apart, so that each can be picked up.
void number_record(model::RequestCommon& common, int index) {
  if (index > 0 && !common.record.empty()) common.record += fmt::format("-{}", index);
}

model::ChatRequest chat_part(const ChatCompletion& chat, int choice) {
  model::ChatRequest request = chat.request;
  vary_seed(request.common.options, choice);
  number_record(request.common, choice);
  return request;
}

// A line that readers of event streams pass over. No empty line behind it: that ends an event, to
// some readers (OpenAI's for Go, and for Python once events have ids) also one of comments only,
// whose empty data they then fail to read as JSON.
io::Task<Result<void>> write_comment(Context& context) {
  CO_TRY_VOID(co_await start_events(context, nullptr));
  co_return co_await context.response.write(": keep-alive\n");
}

// Choices are made one after another: the second finds the prompt in the runner's cache, and one
// request never holds more than one slot.
io::Task<Result<void>> stream_chat(const Dependencies& node, Context& context,
                                   ChatCompletion chat) {
  ChatStream stream(make_head(node, context, "chatcmpl-", chat.request.common.model),
                    chat.include_usage);
  Pulse pulse(node.world, context, [&context] { return write_comment(context); });
  UsageSum usage;
  for (int choice = 0; choice < chat.choices; choice++) {
    auto asked = node.generation.chat(chat_part(chat, choice), context.call());
    CO_TRY(auto answer, co_await pulse.during(std::move(asked)));
    const WriteChunk write = [&stream, choice](std::string& events, const model::Chunk& chunk) {
      stream.add(events, choice, chunk);
    };
    CO_TRY(const auto used, co_await stream_answer(context, pulse, *answer, 0, write));
    usage.add(used, choice == 0);
  }
  const std::string events = stream.end(usage);
  CO_TRY_VOID(co_await context.write(events));
  co_return co_await context.response.finish();
}

io::Task<Result<void>> whole_chat(const Dependencies& node, Context& context, ChatCompletion chat) {
  ReplyHead head = make_head(node, context, "chatcmpl-", chat.request.common.model);
  std::vector<GatheredAnswer> choices;
  UsageSum usage;
  for (int choice = 0; choice < chat.choices; choice++) {
    CO_TRY(auto answer, co_await node.generation.chat(chat_part(chat, choice), context.call()));
    CO_TRY(GatheredAnswer gathered, co_await gather(*answer));
    usage.add(gathered.usage, choice == 0);
    choices.push_back(std::move(gathered));
    if (choice == 0) set_route_headers(context, answer->route());
  }
  co_return co_await context.send_json(chat_reply(head, choices, usage));
}

io::Task<Result<void>> chat_completions(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(ChatCompletion chat, parse_chat_completion(body));
  context.model = chat.request.common.model;
  CO_TRY_VOID(note_caller(chat.request.common, context, node.settings));
  if (chat.request.common.stream) {
    co_return co_await stream_chat(node, context, std::move(chat));
  }
  co_return co_await whole_chat(node, context, std::move(chat));
}

// The generation of choice `index`, counted over all prompts.
model::GenerateRequest completion_part(const Completion& completion, int index) {
  model::GenerateRequest request = completion.request;
  request.prompt = completion.prompts[static_cast<size_t>(index / completion.choices)];
  vary_seed(request.common.options, index % completion.choices);
  number_record(request.common, index);
  return request;
}

int completion_count(const Completion& completion) {
  return static_cast<int>(completion.prompts.size()) * completion.choices;
}

io::Task<Result<void>> stream_completion(const Dependencies& node, Context& context,
                                         Completion completion) {
  CompletionStream stream(make_head(node, context, "cmpl-", completion.request.common.model),
                          completion.include_usage);
  Pulse pulse(node.world, context, [&context] { return write_comment(context); });
  UsageSum usage;
  for (int index = 0; index < completion_count(completion); index++) {
    model::GenerateRequest request = completion_part(completion, index);
    std::string echo = completion.echo ? request.prompt : "";
    auto asked = node.generation.generate(std::move(request), context.call());
    CO_TRY(auto answer, co_await pulse.during(std::move(asked)));
    const WriteChunk write = [&](std::string& events, const model::Chunk& chunk) {
      if (!echo.empty()) events += stream.echo(index, std::exchange(echo, ""));
      events += stream.add(index, chunk);
    };
    CO_TRY(const auto used, co_await stream_answer(context, pulse, *answer, 0, write));
    usage.add(used, index % completion.choices == 0);
  }
  const std::string events = stream.end(usage);
  CO_TRY_VOID(co_await context.write(events));
  co_return co_await context.response.finish();
}

io::Task<Result<void>> whole_completion(const Dependencies& node, Context& context,
                                        Completion completion) {
  ReplyHead head = make_head(node, context, "cmpl-", completion.request.common.model);
  std::vector<CompletionChoice> choices;
  UsageSum usage;
  for (int index = 0; index < completion_count(completion); index++) {
    model::GenerateRequest request = completion_part(completion, index);
    CompletionChoice choice;
    if (completion.echo) choice.echo = request.prompt;
    CO_TRY(auto answer, co_await node.generation.generate(std::move(request), context.call()));
    CO_TRY(choice.answer, co_await gather(*answer));
    usage.add(choice.answer.usage, index % completion.choices == 0);
    choices.push_back(std::move(choice));
    if (index == 0) set_route_headers(context, answer->route());
  }
  co_return co_await context.send_json(completion_reply(head, choices, usage));
}

io::Task<Result<void>> completions(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(Completion completion, parse_completion(body));
  context.model = completion.request.common.model;
  CO_TRY_VOID(note_caller(completion.request.common, context, node.settings));
  if (completion.request.common.stream) {
    co_return co_await stream_completion(node, context, std::move(completion));
  }
  co_return co_await whole_completion(node, context, std::move(completion));
}

io::Task<Result<void>> embeddings(const Dependencies& node, Context& context) {
  CO_TRY(json::object body, co_await read_object(node, context));
  CO_TRY(Embeddings wanted, parse_embeddings(body));
  context.model = wanted.request.model;
  CO_TRY(wanted.request.standing, read_standing(context.request.headers, node.settings));
  std::string model = wanted.request.model;
  auto embedding = co_await node.generation.embed(std::move(wanted.request), context.call());
  if (!embedding) {
    Error error = std::move(embedding).error();
    // The caller named the wrong model; Ollama's own route tells that with 501.
    if (error.code == Errc::unsupported) context.error_status = 400;
    co_return fail(std::move(error));
  }
  set_route_headers(context, *embedding);
  std::function<std::string()> write = [&] {
    return embeddings_reply(model, *embedding, wanted.base64);
  };
  std::string reply = co_await write_reply(node.world, *embedding, std::move(write));
  co_return co_await context.send_json(std::move(reply));
}

}  // namespace

io::Task<Result<json::object>> read_object(const Dependencies& node, Context& context) {
  CO_TRY(json::value value, co_await read_json(context, node.settings.body_bytes_max));
  if (!value.is_object()) {
    co_return fail(Errc::invalid_argument, "the request body must be a JSON object, not {}",
                   kind_name(value));
  }
  co_return std::move(value.get_object());
}

ReplyHead make_head(const Dependencies& node, const Context& context, std::string_view prefix,
                    std::string model) {
  constexpr size_t kIdLetters = 24;
  // An answer that is picked up elsewhere keeps its id.
  const std::string letters = context.pick_up ? context.pick_up->record.substr(0, kIdLetters)
                                              : node.world.random.letters(kIdLetters);
  auto now = node.world.clock.wall_now().time_since_epoch();
  return ReplyHead{.id = std::string(prefix) + letters,
                   .model = std::move(model),
                   .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

io::Task<Result<void>> start_events(Context& context, const generation::Answer* answer) {
  if (context.response.started()) co_return Result<void>();
  if (answer) set_route_headers(context, answer->route());
  context.response.headers().set("Cache-Control", "no-cache");
  std::string content_type(kEventStream);
  co_return co_await context.start(std::move(content_type));
}

io::Task<Result<model::Usage>> stream_answer(Context& context, Pulse& pulse,
                                             generation::Answer& answer, uint64_t opening,
                                             const WriteChunk& write) {
  std::string events;
  while (true) {
    CO_TRY(model::Chunk chunk, co_await pulse.during(answer.next()));
    CO_TRY_VOID(context.check_seen(answer.was_kept(), opening));
    if (!context.response.started()) CO_TRY_VOID(co_await start_events(context, &answer));
    events.clear();
    Result<void> joined = join_ready(answer, chunk, events, write);
    if (!events.empty()) CO_TRY_VOID(co_await context.write(events));
    if (!joined) co_return fail(std::move(joined).error());
    if (chunk.done) co_return chunk.usage;
  }
}

void register_openai(Router& router, const Dependencies& dependencies) {
  using Function = io::Task<Result<void>> (*)(const Dependencies&, Context&);
  struct Entry {
    std::string_view method, pattern;
    Function function;
  };
  static constexpr Entry kEntries[] = {{"POST", "/v1/chat/completions", chat_completions},
                                       {"POST", "/v1/completions", completions},
                                       {"POST", "/v1/embeddings", embeddings},
                                       {"GET", "/v1/models", list_models},
                                       {"GET", "/v1/models/*model", show_model}};
  for (const Entry& entry : kEntries) {
    router.add(entry.method, entry.pattern, ErrorShape::openai,
               [function = entry.function, &dependencies](Context& context) {
                 return function(dependencies, context);
               });
  }
  register_responses(router, dependencies);
  register_openapi(router);
}

}  // namespace om::api
