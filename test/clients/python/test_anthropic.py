"""The anthropic package with strict checking of every reply against its types."""

import anthropic
import httpx
import pytest
from conftest import CHAT, STEADY, URL, WEATHER

# The client has no arguments for sampling any more; the API takes them still.
GREEDY = {"temperature": 0}
HELLO = [{"role": "user", "content": "Say hello."}]
TOOL = {"name": "get_weather", "description": "Tells the weather.",
        "input_schema": WEATHER["function"]["parameters"]}


def test_messages_answer_with_usage(claude):
    reply = claude.messages.create(model=CHAT, max_tokens=4, messages=HELLO, system="Be brief.")
    assert reply.content[0].type == "text" and reply.content[0].text
    assert reply.stop_reason == "max_tokens" and reply.stop_sequence is None
    assert reply.usage.output_tokens == 4 and reply.usage.input_tokens > 0
    assert reply.id.startswith("msg_")


def test_stream_adds_up_to_the_final_message(claude):
    ask = {"model": CHAT, "max_tokens": 8, "messages": [{"role": "user", "content": STEADY}],
           "extra_body": GREEDY}
    whole = claude.messages.create(**ask)
    with claude.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_leaving_a_stream(claude):
    with claude.messages.stream(model=CHAT, max_tokens=100_000, messages=HELLO) as stream:
        next(iter(stream.text_stream))
    assert claude.messages.create(model=CHAT, max_tokens=1, messages=HELLO).content


def test_stop_sequences_are_told(claude):
    reply = claude.messages.create(model=CHAT, max_tokens=60, extra_body=GREEDY,
                                   stop_sequences=["e"],
                                   messages=[{"role": "user", "content": "Tell me of the sea."}])
    assert reply.stop_reason == "stop_sequence" and reply.stop_sequence == "e"


def test_blocks_and_tool_results_go_in(claude, tools_model):
    reply = claude.messages.create(model=tools_model, max_tokens=4, tools=[TOOL], messages=[
        {"role": "user", "content": [{"type": "text", "text": "Weather in Rome?"}]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Rome"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
            {"type": "text", "text": "And now?"}]}], tool_choice={"type": "none"})
    assert reply.content


def test_tool_choice_forces_a_call(claude, tools_model):
    question = [{"role": "user", "content": "Weather in Rome?"}]
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        # Free to, so small a model sometimes calls on and on until it is cut.
        reply = claude.messages.create(model=tools_model, max_tokens=120, messages=question,
                                       tools=[TOOL],
                                       tool_choice={**choice, "disable_parallel_tool_use": True})
        [call] = [block for block in reply.content if block.type == "tool_use"]
        assert call.name == "get_weather" and call.input["city"] in ("Paris", "Rome")
        assert reply.stop_reason == "tool_use"
    with claude.messages.stream(model=tools_model, max_tokens=120, messages=question,
                                tools=[TOOL], tool_choice={"type": "any"}) as stream:
        final = stream.get_final_message()
    assert any(block.type == "tool_use" and block.input for block in final.content)


def test_a_thought_and_a_call_by_its_own_choice(claude, calling_model):
    ask = {"model": calling_model, "max_tokens": 80, "tools": [TOOL],
           "messages": [{"role": "user", "content": "Weather in Paris?"}],
           "thinking": {"type": "enabled", "budget_tokens": 1024}}
    whole = claude.messages.create(**ask)
    with claude.messages.stream(**ask) as stream:
        final = stream.get_final_message()
    for reply in (whole, final):
        thought, call = reply.content
        assert thought.type == "thinking" and thought.thinking == whole.content[0].thinking != ""
        assert call.type == "tool_use" and call.id and call.input == {"city": "Paris"}
        assert reply.stop_reason == "tool_use"


def test_thinking_is_dropped_for_a_model_without_it(claude):
    reply = claude.messages.create(model=CHAT, max_tokens=2000, messages=HELLO,
                                   thinking={"type": "enabled", "budget_tokens": 1024},
                                   stop_sequences=["e"])
    assert reply.content is not None


def test_count_tokens_grows_with_the_prompt(claude):
    short = claude.messages.count_tokens(model=CHAT, messages=HELLO).input_tokens
    long = claude.messages.count_tokens(model=CHAT, messages=[
        {"role": "user", "content": "Say hello. " * 20}]).input_tokens
    assert 0 < short < long
    reply = claude.messages.create(model=CHAT, max_tokens=1, messages=HELLO)
    assert reply.usage.input_tokens == short


def test_claude_codes_changing_note_is_no_part_of_the_prompt(claude):
    rules = {"type": "text", "text": "Be brief."}
    notes = [{"type": "text", "text": f"x-anthropic-billing-header: cc_version=2; cch={i};"}
             for i in ("36ee5", "a5145")]
    counts = {claude.messages.count_tokens(model=CHAT, messages=HELLO, system=system).input_tokens
              for system in ([rules], [notes[0], rules], [notes[1], rules])}
    assert len(counts) == 1
    reply = claude.messages.create(model=CHAT, max_tokens=1, messages=HELLO,
                                   system=[notes[0], rules])
    assert {reply.usage.input_tokens} == counts


def test_models_have_anthropics_shape(claude):
    assert CHAT in {model.id for model in claude.models.list()}
    assert claude.models.retrieve(CHAT).type == "model"


def test_errors_have_anthropics_shape(claude):
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.create(model="no-such-model", max_tokens=1, messages=HELLO)
    assert missing.value.body["error"]["type"] == "not_found_error"
    for change in (dict(max_tokens=0), dict(messages=[]), dict(model=""),
                   dict(extra_body={"top_k": "x"})):
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(**{"model": CHAT, "max_tokens": 1, "messages": HELLO, **change})
        assert caught.value.body["error"]["type"] == "invalid_request_error", change
    with pytest.raises(anthropic.NotFoundError):  # Before the first event.
        claude.messages.create(model="no-such-model", max_tokens=1, messages=HELLO, stream=True)
    with pytest.raises(anthropic.BadRequestError, match="does not support tools"):
        claude.messages.create(model=CHAT, max_tokens=1, messages=HELLO, tools=[TOOL])


@pytest.mark.parametrize("route", ["messages", "messages/count_tokens"])
def test_bodies_that_are_no_request(route):
    for body in (b"", b"{", b"[]", b"null", b"{}"):
        reply = httpx.post(f"{URL}/v1/{route}", content=body)
        assert reply.status_code == 400 and reply.json()["type"] == "error", body
        assert reply.json()["error"]["type"] == "invalid_request_error"
        assert reply.json()["error"]["message"] and reply.json()["request_id"]
