"""The openai package with strict checking of every reply against its types."""

import json

import httpx
import openai
import pytest
from conftest import CHAT, ENDLESS, SCHEMA, STEADY, URL, WEATHER, unloads

HELLO = [{"role": "user", "content": "Say hello."}]


def test_models_list_and_retrieve(gpt):
    assert CHAT in {model.id for model in gpt.models.list()}
    model = gpt.models.retrieve(CHAT)
    assert model.id == CHAT and model.owned_by == "library" and model.created > 0
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("no-such-model")


def test_chat_answers_with_usage_and_finish_reason(gpt):
    reply = gpt.chat.completions.create(model=CHAT, messages=HELLO, max_completion_tokens=4)
    choice = reply.choices[0]
    assert choice.message.content and choice.finish_reason == "length"
    assert reply.usage.completion_tokens == 4
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 4
    assert reply.usage.prompt_tokens_details.cached_tokens >= 0
    assert reply.system_fingerprint and reply.id.startswith("chatcmpl-")


def test_cached_tokens_are_told(gpt):
    message = [{"role": "user", "content": "Remember these words: " + "apple pear " * 40}]
    for _ in range(2):
        reply = gpt.chat.completions.create(model=CHAT, messages=message, max_tokens=1)
    assert 0 < reply.usage.prompt_tokens_details.cached_tokens <= reply.usage.prompt_tokens


def test_chat_stream_adds_up_and_ends_with_usage(gpt):
    message = [{"role": "user", "content": STEADY}]
    arguments = dict(model=CHAT, messages=message, max_tokens=8, temperature=0)
    whole = gpt.chat.completions.create(**arguments)
    chunks = list(gpt.chat.completions.create(
        **arguments, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert [reason for reason in reasons if reason] == [whole.choices[0].finish_reason]
    assert not chunks[-1].choices
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({c.id for c in chunks}) == 1


def test_several_choices_differ_in_index_and_seed(gpt):
    reply = gpt.chat.completions.create(model=CHAT, messages=HELLO, n=2, max_tokens=8,
                                        temperature=1.5, seed=1)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[0].message.content != reply.choices[1].message.content
    streamed = gpt.chat.completions.create(model=CHAT, messages=HELLO, n=2, max_tokens=2,
                                           stream=True)
    assert {c.choices[0].index for c in streamed if c.choices} == {0, 1}


def test_message_parts_and_developer_role(gpt):
    reply = gpt.chat.completions.create(model=CHAT, max_tokens=4, messages=[
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Say"},
                                     {"type": "text", "text": "hello."}]}])
    assert reply.choices[0].message.content


def test_logprobs_come_with_alternatives(gpt):
    reply = gpt.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=3, logprobs=True,
                                        top_logprobs=2, temperature=0)
    content = reply.choices[0].logprobs.content
    assert len(content) == reply.usage.completion_tokens
    assert all(len(token.top_logprobs) == 2 for token in content)
    bare = gpt.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=3, logprobs=True)
    assert all(token.top_logprobs == [] for token in bare.choices[0].logprobs.content)


def test_stop_ends_the_answer(gpt):
    reply = gpt.completions.create(model=CHAT, prompt="Repeat: red green blue", max_tokens=40,
                                   temperature=0, stop="e")
    assert "e" not in reply.choices[0].text and reply.choices[0].finish_reason == "stop"


def test_json_schema_binds_the_answer(gpt):
    reply = gpt.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Describe the sun in JSON."}],
        max_tokens=60, response_format={
            "type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}})
    answer = json.loads(reply.choices[0].message.content)
    assert set(answer) == {"color", "warm"}


def test_tool_choice_forces_a_call(gpt, tools_model):
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        reply = gpt.chat.completions.create(
            model=tools_model, messages=[{"role": "user", "content": "Weather in Rome?"}],
            tools=[WEATHER], tool_choice=choice, max_tokens=120, parallel_tool_calls=False,
            temperature=0)
        message = reply.choices[0].message
        assert len(message.tool_calls) == 1, message
        assert message.tool_calls[0].function.name == "get_weather"
        assert json.loads(message.tool_calls[0].function.arguments)["city"] in ("Paris", "Rome")
        assert reply.choices[0].finish_reason == "tool_calls"
        assert message.tool_calls[0].id


def test_tool_calls_stream_and_go_back(gpt, tools_model):
    question = [{"role": "user", "content": "Weather in Rome?"}]
    chunks = list(gpt.chat.completions.create(model=tools_model, messages=question,
                                              tools=[WEATHER], tool_choice="required",
                                              max_tokens=120, temperature=0, stream=True))
    calls = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or []]
    assert calls and calls[0].function.name == "get_weather"
    call = {"id": calls[0].id, "type": "function",
            "function": {"name": "get_weather", "arguments": calls[0].function.arguments}}
    reply = gpt.chat.completions.create(model=tools_model, max_tokens=8, tools=[WEATHER], messages=[
        *question, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}], tool_choice="none")
    assert not reply.choices[0].message.tool_calls


def test_a_thought_and_a_call_by_its_own_choice(gpt, calling_model):
    ask = {"model": calling_model, "tools": [WEATHER],
           "messages": [{"role": "user", "content": "Weather in Paris?"}]}
    whole = gpt.chat.completions.create(**ask, reasoning_effort="low")
    [choice] = whole.choices
    [call] = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    assert choice.message.reasoning and "think>" not in choice.message.reasoning
    chunks = gpt.chat.completions.create(**ask, reasoning_effort="low", stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    thought = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)
    assert thought == choice.message.reasoning
    streamed = [call.function.arguments for delta in deltas for call in delta.tool_calls or []]
    assert streamed == [call.function.arguments] and not any(delta.content for delta in deltas)
    thought_tokens = whole.usage.completion_tokens_details.reasoning_tokens
    assert 0 < thought_tokens < whole.usage.completion_tokens
    silent = gpt.chat.completions.create(**ask, reasoning_effort="none").choices[0].message
    assert silent.tool_calls and not getattr(silent, "reasoning", None)


def test_a_format_leaves_the_model_its_calls(gpt, calling_model):
    """As agents with a type of output send both in each turn."""
    ask = {"model": calling_model, "tools": [WEATHER], "reasoning_effort": "low",
           "messages": [{"role": "user", "content": "Weather in Paris?"}],
           "response_format": {"type": "json_schema",
                               "json_schema": {"name": "color", "schema": SCHEMA}}}
    [choice] = gpt.chat.completions.create(**ask).choices
    [call] = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert choice.finish_reason == "tool_calls" and not choice.message.content
    answer = gpt.chat.completions.create(**ask, tool_choice="none").choices[0].message
    assert set(json.loads(answer.content)) == {"color", "warm"} and not answer.tool_calls


def test_leaving_a_stream_ends_the_generation(node, gpt):
    stream = gpt.chat.completions.create(
        model=CHAT, messages=HELLO, stream=True, max_tokens=100_000, response_format={
            "type": "json_schema", "json_schema": {"name": "x", "schema": ENDLESS}})
    next(iter(stream))
    stream.close()
    assert unloads(node, CHAT)


def test_completions_take_several_prompts_and_echo(gpt, loose_gpt):
    reply = gpt.completions.create(model=CHAT, prompt=["One,", "A,"], max_tokens=3, echo=True,
                                   logprobs=1, n=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert reply.choices[0].text.startswith("One,") and reply.choices[2].text.startswith("A,")
    assert len(reply.choices[0].logprobs.tokens) == len(reply.choices[0].logprobs.token_logprobs)
    parts = list(loose_gpt.completions.create(model=CHAT, prompt="One,", max_tokens=3,
                                              temperature=0, stream=True))
    assert parts[-1].choices[0].finish_reason == "length"


def test_embeddings_as_floats_and_base64(gpt, loose_gpt, embed_model):
    floats = gpt.embeddings.create(model=embed_model, input=["a", "b"], encoding_format="float")
    # Not asked for a format, the client asks base64 and unpacks it; a strict one checks too early.
    packed = loose_gpt.embeddings.create(model=embed_model, input=["a", "b"])
    assert len(packed.data[0].embedding) == len(floats.data[0].embedding)
    assert len(floats.data) == 2 and floats.usage.prompt_tokens > 0
    for one, two in zip(floats.data[0].embedding, packed.data[0].embedding):
        assert abs(one - two) < 1e-3


def test_responses_answer_and_say_incomplete(gpt):
    reply = gpt.responses.create(model=CHAT, input="Say hello.", instructions="Be brief.",
                                 max_output_tokens=4)
    assert reply.output_text
    assert reply.status == "incomplete"
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.usage.output_tokens == 4


def test_responses_stream_in_order(gpt):
    events = list(gpt.responses.create(model=CHAT, input=[{"role": "user", "content": "Hello"}],
                                       max_output_tokens=4, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text


def test_responses_call_functions(gpt, tools_model):
    tool = {"type": "function", "strict": False, **WEATHER["function"]}
    reply = gpt.responses.create(model=tools_model, input="Weather in Rome?", tools=[tool],
                                 tool_choice="required", max_output_tokens=120, temperature=0)
    call = next(item for item in reply.output if item.type == "function_call")
    assert call.name == "get_weather" and json.loads(call.arguments)["city"]
    answer = gpt.responses.create(model=tools_model, max_output_tokens=4, temperature=0,
                                  tools=[tool], input=[
        {"role": "user", "content": "Weather in Rome?"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name,
         "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert answer.output


def test_responses_call_tools_of_every_kind(gpt, tools_model):
    """As Codex and clients of MCP servers write them."""
    tools = [{"type": "web_search"}, {"type": "custom", "name": "note", "description": "Notes it."},
             {"type": "namespace", "name": "mcp__weather__", "description": "Weather.",
              "tools": [{"type": "function", "strict": False, **WEATHER["function"]}]}]
    choices = {"function_call": {"type": "function", "name": "get_weather"},
               "custom_tool_call": {"type": "custom", "name": "note"}}
    for kind, choice in choices.items():
        question = {"role": "user", "content": "Weather in Rome?"}
        reply = gpt.responses.create(model=tools_model, input=[question], tools=tools,
                                     tool_choice=choice, max_output_tokens=120, temperature=0)
        call = next(item for item in reply.output if item.type == kind)
        assert call.name == choice["name"]
        assert call.namespace == ("mcp__weather__" if kind == "function_call" else None)
        assert [tool.type for tool in reply.tools] == ["custom", "namespace"]
        answer = gpt.responses.create(
            model=tools_model, max_output_tokens=4, temperature=0, tools=tools, input=[
                question, call.to_dict(),
                {"type": kind + "_output", "call_id": call.call_id, "output": "sunny"}])
        assert answer.output


def test_a_model_that_cannot_think_answers_without(gpt):
    ask = dict(model=CHAT, messages=HELLO, max_tokens=2, reasoning_effort="high")
    assert gpt.chat.completions.create(**ask).choices[0].message.content
    assert gpt.responses.create(model=CHAT, input="Hi", max_output_tokens=2,
                                reasoning={"effort": "high"}).output_text


def test_errors_have_openais_shape(gpt):
    with pytest.raises(openai.NotFoundError) as missing:
        gpt.chat.completions.create(model="no-such-model", messages=HELLO)
    assert missing.value.type == "not_found_error"
    assert "no-such-model" in missing.value.message
    bad = [dict(messages=[]), dict(temperature="hot"), dict(n=99), dict(max_tokens=0),
           dict(tools=[WEATHER]), dict(reasoning_effort="much"), dict(stop=[1])]
    for change in bad:
        with pytest.raises(openai.BadRequestError) as caught:
            gpt.chat.completions.create(**{"model": CHAT, "messages": HELLO, "max_tokens": 1,
                                           **change})
        assert caught.value.type == "invalid_request_error", change
    with pytest.raises(openai.NotFoundError):  # Before the first event.
        gpt.responses.create(model="no-such-model", input="Hi", stream=True)


@pytest.mark.parametrize("route", ["chat/completions", "completions", "embeddings", "responses"])
def test_bodies_that_are_no_request(route):
    for body in (b"", b"{", b"[]", b"null", b"{}"):
        reply = httpx.post(f"{URL}/v1/{route}", content=body)
        assert reply.status_code == 400, body
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"]
        assert error["type"] == "invalid_request_error"
