"""The ollama package: Ollama's own API."""

import concurrent.futures
import json

import httpx
import ollama
import pytest
from conftest import CHAT, ENDLESS, SCHEMA, SHOWN, STEADY, URL, WEATHER, unloads

HELLO = [{"role": "user", "content": "Say hello."}]
QUESTION = {"role": "user", "content": "Weather in Paris?"}


def failure(call, *arguments, **keywords):
    with pytest.raises(ollama.ResponseError) as caught:
        result = call(*arguments, **keywords)
        if keywords.get("stream"):
            list(result)
    return caught.value


def test_list_tells_names_sizes_and_details(node):
    model = next(model for model in node.list().models if model.model == CHAT)
    assert model.size > 10_000_000
    assert len(model.digest) == 64
    assert model.details.family == "llama"
    assert model.details.quantization_level
    assert model.modified_at.tzinfo is not None


def test_show_tells_template_capabilities_and_model_info(node):
    shown = node.show(CHAT)
    assert "completion" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama"
    assert "FROM" in shown.modelfile
    assert shown.template
    assert shown.details.format == "gguf"


def test_generate_answers_with_counts_and_durations(node):
    reply = node.generate(CHAT, "Why is the sky blue?", options={"num_predict": 12, "seed": 1})
    assert reply.response
    assert reply.done and reply.done_reason in ("stop", "length")
    assert reply.prompt_eval_count > 0 and 0 < reply.eval_count <= 12
    assert reply.total_duration >= reply.eval_duration > 0
    assert reply.context


def test_generate_is_the_same_for_the_same_seed(node):
    options = {"num_predict": 12, "seed": 42, "temperature": 1.0}
    texts = {node.generate(CHAT, "Tell me a story.", options=options).response for _ in range(2)}
    assert len(texts) == 1


def test_generate_stream_adds_up_to_the_whole(node):
    options = {"num_predict": 12, "temperature": 0}
    whole = node.generate(CHAT, STEADY, options=options)
    parts = list(node.generate(CHAT, STEADY, options=options, stream=True))
    assert len(parts) > 2
    assert "".join(part.response for part in parts) == whole.response
    assert [part.done for part in parts].count(True) == 1 and parts[-1].done
    assert parts[-1].eval_count == whole.eval_count


def test_generate_raw_leaves_the_prompt_alone(node):
    reply = node.generate(CHAT, "One, two, three,", raw=True, options={"num_predict": 4})
    assert reply.response and not reply.context


def test_generate_with_the_base_model(node, base_model):
    assert node.generate(base_model, "The sea is", options={"num_predict": 4}).eval_count > 0


def test_generate_stops_at_the_callers_string(node):
    prompt = "Count: 1 2 3 4 5 6 7"
    options = {"num_predict": 40, "temperature": 0, "stop": ["9"]}
    reply = node.generate(CHAT, prompt, raw=True, options=options)
    assert "9" not in reply.response


def test_generate_without_prompt_loads_and_unloads(node):
    assert node.generate(CHAT).done_reason == "load"
    assert CHAT in {model.model for model in node.ps().models}
    assert unloads(node, CHAT)


def test_ps_tells_size_context_and_expiry(node):
    node.generate(CHAT, keep_alive="5m")
    running = next(model for model in node.ps().models if model.model == CHAT)
    assert running.size > 10_000_000
    assert running.context_length > 0
    assert running.expires_at is not None


def test_chat_answers(node):
    reply = node.chat(CHAT, HELLO, options={"num_predict": 12})
    assert reply.message.role == "assistant" and reply.message.content
    assert reply.done_reason in ("stop", "length")


def test_chat_stops_at_num_predict(node):
    reply = node.chat(CHAT, HELLO, options={"num_predict": 1})
    assert reply.done_reason == "length" and reply.eval_count == 1


def test_chat_stream_adds_up_to_the_whole(node):
    options = {"num_predict": 12, "temperature": 0}
    message = [{"role": "user", "content": STEADY}]
    whole = node.chat(CHAT, message, options=options).message.content
    parts = list(node.chat(CHAT, message, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole
    assert parts[-1].done and not any(part.done for part in parts[:-1])


def test_chat_gives_logprobs(node):
    reply = node.chat(CHAT, HELLO, logprobs=True, top_logprobs=2, options={"num_predict": 4})
    assert len(reply.logprobs) == reply.eval_count
    assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 2 for entry in reply.logprobs)


def test_leaving_a_stream_ends_the_generation(node):
    for _ in range(3):
        stream = node.chat(CHAT, HELLO, stream=True, format=ENDLESS,
                           options={"num_predict": 100_000})
        for _, part in zip(range(3), stream):
            assert not part.done
        stream.close()
    assert unloads(node, CHAT)


def test_several_chats_at_once(node):
    def ask(number):
        message = [{"role": "user", "content": f"Say {number}."}]
        return node.chat(CHAT, message, options={"num_predict": 8}).done

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(6)))


def test_json_schema_binds_the_answer(node):
    message = [{"role": "user", "content": "Is the sun warm, and what color has grass?"}]
    reply = node.chat(CHAT, message, format=SCHEMA, options={"num_predict": 60})
    answer = json.loads(reply.message.content)
    assert answer["color"] in ("red", "green", "blue") and answer["warm"] in (True, False)


def test_json_format_gives_json(node):
    reply = node.generate(CHAT, 'Answer with {"a": 1} in JSON.', format="json",
                          options={"num_predict": 120, "temperature": 0})
    if reply.done_reason == "stop":
        json.loads(reply.response)
    assert reply.response.lstrip()[:1] in ("{", "[")


def test_tools_need_a_model_with_tools(node):
    error = failure(node.chat, CHAT, HELLO, tools=[WEATHER])
    assert error.status_code == 400 and "does not support tools" in error.error


def called(parts):
    """The calls of a whole answer or a stream's parts, of which the last has none."""
    assert len(parts) == 1 or not parts[-1].message.tool_calls
    return [(call.function.name, call.function.arguments)
            for part in parts for call in part.message.tool_calls or []]


def test_a_template_of_either_kind_makes_calls(node, tools_model):
    assert "tools" in node.show(tools_model).capabilities
    # Nothing forces a call in this API: the model is shown questions that are answered by one.
    shown = [message for message in SHOWN["create"]["messages"]
             if message["role"] == "user" or "tool_calls" in message]
    ask = {"messages": [*shown, QUESTION], "tools": [WEATHER], "options": {"num_predict": 80}}
    whole = node.chat(tools_model, **ask)
    assert called([whole]) == [("get_weather", {"city": "Paris"})], whole
    assert not whole.message.content and whole.done_reason == "stop"
    parts = list(node.chat(tools_model, **ask, stream=True))
    assert called(parts) == called([whole])
    assert not any(part.message.content for part in parts)
    assert "".join(part.message.thinking or "" for part in parts) == (whole.message.thinking or "")


def test_a_thought_a_call_and_an_answer_with_its_result(node, calling_model):
    assert {"tools", "thinking"} <= set(node.show(calling_model).capabilities)
    ask = {"messages": [QUESTION], "tools": [WEATHER]}
    whole = node.chat(calling_model, **ask, think=True)
    assert whole.message.thinking and not whole.message.content
    assert called([whole]) == [("get_weather", {"city": "Paris"})]
    parts = list(node.chat(calling_model, **ask, think=True, stream=True))
    assert called(parts) == called([whole])
    thoughts = [part.message.thinking for part in parts if part.message.thinking]
    assert "".join(thoughts) == whole.message.thinking and len(thoughts) > 1
    ask["messages"] = [QUESTION, whole.message,
                       {"role": "tool", "tool_name": "get_weather", "content": "sunny"}]
    answer = node.chat(calling_model, **ask, think=True)
    assert "sunny in Paris" in answer.message.content and not answer.message.tool_calls
    assert answer.message.thinking and answer.message.thinking not in answer.message.content
    assert answer.done_reason == "stop"
    silent = node.chat(calling_model, **ask, think=False).message
    assert "sunny in Paris" in silent.content and not silent.thinking


def test_thinking_needs_a_model_that_thinks(node):
    error = failure(node.chat, CHAT, HELLO, think=True)
    assert error.status_code == 400 and "does not support thinking" in error.error
    assert node.chat(CHAT, HELLO, think=False, options={"num_predict": 2}).done


def test_a_thought_that_is_cut_is_no_answer(node, thinking_model):
    assert "thinking" in node.show(thinking_model).capabilities
    short = {"num_predict": 12}
    whole = node.chat(thinking_model, HELLO, think=True, options=short)
    assert whole.message.thinking and "<think>" not in whole.message.thinking
    assert not whole.message.content and whole.done_reason == "length"
    parts = list(node.chat(thinking_model, HELLO, think=True, options=short, stream=True))
    assert any(part.message.thinking for part in parts) and parts[-1].done_reason == "length"
    assert not any(part.message.content for part in parts)
    silent = node.chat(thinking_model, HELLO, think=False, options=short)
    assert silent.message.content and not silent.message.thinking


def test_embed_gives_unit_vectors_that_mean_something(node, embed_model):
    reply = node.embed(embed_model, ["a cat", "a kitten", "a stock market crash"])
    cat, kitten, crash = reply.embeddings
    assert len(cat) == 384
    assert abs(sum(x * x for x in cat) - 1) < 1e-3
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))  # noqa: E731
    assert dot(cat, kitten) > dot(cat, crash)
    assert reply.prompt_eval_count > 0


def test_embed_cuts_to_the_wanted_dimensions(node, embed_model):
    vector = node.embed(embed_model, "a cat", dimensions=64).embeddings[0]
    assert len(vector) == 64 and abs(sum(x * x for x in vector) - 1) < 1e-3


def test_legacy_embeddings(node, embed_model):
    assert len(node.embeddings(embed_model, "a cat").embedding) == 384


def test_embedding_with_a_chat_model_or_none(node):
    error = failure(node.embed, "no-such-model", "x")
    assert error.status_code == 404


def test_create_copy_and_delete(node):
    name, other = "client-test-made", "client-test-copy"
    statuses = [progress.status for progress in node.create(
        model=name, from_=CHAT, system="You are a pirate.", parameters={"temperature": 0.25},
        license="MIT", messages=[{"role": "user", "content": "Ahoy"}], stream=True)]
    assert statuses[-1] == "success"
    shown = node.show(name)
    assert "temperature" in shown.parameters and "0.25" in shown.parameters
    assert "pirate" in shown.modelfile
    node.copy(name, other)
    assert node.show(other).parameters == shown.parameters
    assert {name + ":latest", other + ":latest"} <= {model.model for model in node.list().models}
    assert node.chat(other, HELLO, options={"num_predict": 2}).done
    node.delete(name)
    node.delete(other)
    assert failure(node.show, name).status_code == 404
    assert failure(node.delete, other).status_code == 404
    assert CHAT in {model.model for model in node.list().models}


def test_blob_upload_is_checked(node, tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"not a model")
    digest = node.create_blob(path)
    assert httpx.head(f"{URL}/api/blobs/{digest}").status_code == 200
    assert httpx.head(f"{URL}/api/blobs/sha256:{'0' * 64}").status_code == 404
    wrong = httpx.post(f"{URL}/api/blobs/sha256:{'0' * 64}", content=b"something else")
    assert wrong.status_code == 400 and "digest mismatch" in wrong.json()["error"]
    error = failure(node.create, model="client-test-bad", files={"bad.gguf": digest})
    assert error.status_code >= 400


def test_errors_have_ollamas_status_and_text(node):
    error = failure(node.chat, "no-such-model", HELLO)
    assert (error.status_code, error.error) == (404, "model 'no-such-model' not found")
    error = failure(node.chat, "no-such-model", HELLO, stream=True)
    assert error.status_code == 404
    assert failure(node.show, "no-such-model").status_code == 404
    assert failure(node.copy, "no-such-model", "x").status_code == 404
    for body, status in ((b"", 400), (b'{"model":', 400), (b'{"model":7}', 400), (b"{}", 400)):
        reply = httpx.post(URL + "/api/chat", content=body)
        assert reply.status_code == status, (body, reply.text)
        assert isinstance(reply.json()["error"], str)
    assert httpx.get(URL + "/api/nothing").status_code == 404
    assert httpx.get(URL + "/api/chat").status_code == 405
    assert failure(node.chat, CHAT, HELLO, options={"num_predict": "many"}).status_code == 400
    # Codex refuses an Ollama older than this one, VS Code's Copilot one older than 0.6.4.
    version = httpx.get(URL + "/api/version").json()["version"]
    assert [int(part) for part in version.split(".")] >= [0, 13, 4]
    assert httpx.get(URL, headers={"Origin": "https://example.com"}).status_code == 403
