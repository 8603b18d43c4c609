"""Clients of the node at NODE_URL (set by the run script) and the models the tests use."""

import os
import pathlib
import re
import struct

import anthropic
import ollama
import openai
import pytest

URL = os.environ.get("NODE_URL", "http://127.0.0.1:11434")
CHAT = "smollm2:135m"  # An instruction model without tools and thinking.
BASE = "gemma3:270m"
EMBED = "all-minilm"
TOOLS = "client-test-tools"
SECONDS_MAX = 240

# ChatML with tools, so that the small model can be forced to call one. It takes the place of the
# model's own template, which is at least as long.
TOOL_TEMPLATE = (
    "{% if tools %}{{ tools|tojson }}\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments|tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

# llama.cpp makes no grammar for the calls of so short a template, so nothing forces the model.
FORCED = pytest.mark.xfail(reason="no grammar is made for this template's calls", strict=False)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}

# Bounded, so that a small model cannot ramble within it.
SCHEMA = {
    "type": "object",
    "properties": {
        "color": {"type": "string", "enum": ["red", "green", "blue"]},
        "warm": {"type": "boolean"},
    },
    "required": ["color", "warm"],
    "additionalProperties": False,
}


@pytest.fixture(scope="session")
def node():
    client = ollama.Client(host=URL, timeout=SECONDS_MAX)
    names = {model.model for model in client.list().models}
    assert CHAT in names, f"{CHAT} is not on the node at {URL}; it has {sorted(names)}"
    return client


@pytest.fixture(scope="session")
def models(node):
    return {model.model for model in node.list().models}


@pytest.fixture(scope="session")
def embed_model(models):
    if not any(name.startswith(EMBED) for name in models):
        pytest.skip(f"the node has no {EMBED}")
    return EMBED


@pytest.fixture(scope="session")
def base_model(models):
    if BASE not in models:
        pytest.skip(f"the node has no {BASE}")
    return BASE


def with_template(gguf, template):
    """The bytes of a GGUF file with another chat template, filled up to the length of its own."""
    key = b"tokenizer.chat_template"
    at = gguf.index(key) + len(key)
    kind, length = struct.unpack_from("<IQ", gguf, at)
    assert kind == 8 and length >= len(template) + 4, "no string, or shorter than ours"
    filler = "{#" + "." * (length - len(template) - 4) + "#}"
    start = at + struct.calcsize("<IQ")
    return gguf[:start] + (template + filler).encode() + gguf[start + length:]


@pytest.fixture(scope="session")
def tools_model(node, tmp_path_factory):
    source = pathlib.Path(re.search(r"^FROM (/.*)$", node.show(CHAT).modelfile, re.M).group(1))
    if not source.exists():
        pytest.skip("the model's file is on another machine")
    path = tmp_path_factory.mktemp("tools") / "tools.gguf"
    path.write_bytes(with_template(source.read_bytes(), TOOL_TEMPLATE))
    node.create(model=TOOLS, files={path.name: node.create_blob(path)})
    yield TOOLS
    node.delete(TOOLS)


@pytest.fixture(scope="session")
def gpt(node):
    return openai.OpenAI(base_url=URL + "/v1", api_key="anything", timeout=SECONDS_MAX,
                         max_retries=0, _strict_response_validation=True)


@pytest.fixture(scope="session")
def loose_gpt(node):
    """For streamed completions: the client's type forbids the null finish_reason that OpenAI sends
    in every chunk but the last."""
    return openai.OpenAI(base_url=URL + "/v1", api_key="anything", timeout=SECONDS_MAX,
                         max_retries=0)


@pytest.fixture(scope="session")
def claude(node):
    return anthropic.Anthropic(base_url=URL, api_key="anything", timeout=SECONDS_MAX,
                               max_retries=0, _strict_response_validation=True)
