"""langchain-ollama, as applications use it."""

import ollama
import pytest
from conftest import CHAT, ENDLESS, SCHEMA, STEADY, URL, WEATHER, unloads
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM


def chat(**options):
    return ChatOllama(model=CHAT, base_url=URL, num_predict=12, temperature=0, **options)


def test_invoke_tells_the_usage(node):
    reply = chat().invoke([SystemMessage("Be brief."), HumanMessage("Say hello.")])
    assert reply.content and reply.usage_metadata["output_tokens"] > 0
    assert reply.response_metadata["done"]


def test_stream_adds_up(node):
    whole = chat().invoke(STEADY).content
    assert whole and "".join(part.content for part in chat().stream(STEADY)) == whole


def test_structured_output(node):
    model = ChatOllama(model=CHAT, base_url=URL, num_predict=60)
    schema = {**SCHEMA, "title": "Thing"}
    answer = model.with_structured_output(schema, method="json_schema").invoke("Describe grass.")
    assert set(answer) == {"color", "warm"}


def test_a_tool_is_called_and_its_result_used(node, calling_model):
    model = ChatOllama(model=calling_model, base_url=URL, reasoning=True).bind_tools([WEATHER])
    question = HumanMessage("Weather in Paris?")
    reply = model.invoke([question])
    [call] = reply.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"}) and call["id"]
    assert not reply.invalid_tool_calls and not reply.content
    assert reply.additional_kwargs["reasoning_content"]
    result = ToolMessage("sunny", tool_call_id=call["id"])
    answer = model.invoke([question, reply, result])
    assert "sunny in Paris" in answer.content and not answer.tool_calls


def test_a_stream_keeps_thoughts_and_calls_apart(node, calling_model):
    model = ChatOllama(model=calling_model, base_url=URL, reasoning=True).bind_tools([WEATHER])
    parts = list(model.stream("Weather in Paris?"))
    assert [call["args"] for part in parts for call in part.tool_calls] == [{"city": "Paris"}]
    thoughts = [part.additional_kwargs.get("reasoning_content", "") for part in parts]
    assert len([thought for thought in thoughts if thought]) > 1
    assert not any(part.content for part in parts)
    silent = ChatOllama(model=calling_model, base_url=URL, reasoning=False).invoke("Hello")
    assert "reasoning_content" not in silent.additional_kwargs


def test_leaving_a_stream_ends_the_generation(node):
    endless = ChatOllama(model=CHAT, base_url=URL, num_predict=100_000, format=ENDLESS)
    stream = endless.stream("Say hello.")
    assert next(stream) is not None
    stream.close()
    assert unloads(node, CHAT)


def test_errors_reach_the_application(node):
    with pytest.raises(ollama.ResponseError) as missing:
        ChatOllama(model="no-such-model", base_url=URL).invoke("Say hello.")
    assert missing.value.status_code == 404 and "no-such-model" in missing.value.error
    with pytest.raises(ollama.ResponseError) as unable:
        chat().bind_tools([WEATHER]).invoke("Weather in Paris?")
    assert unable.value.status_code == 400 and "does not support tools" in unable.value.error
    with pytest.raises(ollama.ResponseError) as thoughtless:
        chat(reasoning=True).invoke("Say hello.")
    assert "does not support thinking" in thoughtless.value.error


def test_plain_completion(node):
    assert OllamaLLM(model=CHAT, base_url=URL, num_predict=4).invoke("The sea is")


def test_embeddings(node, embed_model):
    embeddings = OllamaEmbeddings(model=embed_model, base_url=URL)
    assert len(embeddings.embed_query("a cat")) == 384
    assert len(embeddings.embed_documents(["a", "b"])) == 2
