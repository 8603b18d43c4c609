"""Clients of the node at NODE_URL (set by the run script) and the models the tests use."""

import os

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

# ChatML with tools, so that the small model can be asked (and forced) to call one.
TOOL_TEMPLATE = """{{- if or .System .Tools }}<|im_start|>system
{{ .System }}
{{- if .Tools }}
Tools:
{{- range .Tools }}
{{ json .Function }}
{{- end }}
To use one, answer <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>
{{- end }}<|im_end|>
{{ end }}
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}
{{- if .ToolCalls }}
{{- range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>
{{- end }}
{{- end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""

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


@pytest.fixture(scope="session")
def tools_model(node):
    node.create(model=TOOLS, from_=CHAT, template=TOOL_TEMPLATE)
    yield TOOLS
    node.delete(TOOLS)


@pytest.fixture(scope="session")
def gpt(node):
    return openai.OpenAI(base_url=URL + "/v1", api_key="anything", timeout=SECONDS_MAX,
                         max_retries=0, _strict_response_validation=True)


@pytest.fixture(scope="session")
def claude(node):
    return anthropic.Anthropic(base_url=URL, api_key="anything", timeout=SECONDS_MAX,
                               max_retries=0, _strict_response_validation=True)
