"""Clients of the node at NODE_URL (set by the run script) and the models the tests use."""

import json
import os
import pathlib
import re
import sys
import time

import anthropic
import ollama
import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "test"))
from support import chat_template, templates  # noqa: E402

URL = os.environ.get("NODE_URL", "http://127.0.0.1:11434")
CHAT = "smollm2:135m"  # An instruction model without tools and thinking.
BASE = "gemma3:270m"
EMBED = "all-minilm"
TOOLS, THINKS, CALLS = "client-test-tools", "client-test-thinks", "client-test-calls"
SECONDS_MAX = 240

# Its likeliest answer is far likelier than any other, so that it is the same with and without a
# part of the prompt in the runner's cache, which changes the last digits of all figures.
STEADY = "Repeat: one two three four five six seven eight nine ten."

# With it, llama.cpp makes a grammar of the tools: what must be called is called.
TOOL_TEMPLATE = ROOT / "src/prompt/testdata/hermes_thinking.jinja"
# Its "create" makes a model that calls the "tool": it copies the calls, thoughts and answers of its
# messages, by far the likeliest text there, so that it needs no luck.
SHOWN = json.loads((ROOT / "test/clients/weather.json").read_text())
WEATHER = SHOWN["tool"]

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
# Far longer than any test waits: an answer bound by it ends because its client left.
ENDLESS = {"type": "array", "minItems": 500,
           "items": {"type": "array", "items": {"type": "boolean"}, "minItems": 500}}


def unloads(node, model):
    """Whether the node lets go of the model when told to; it does not while an answer runs."""
    assert node.generate(model, keep_alive=0).done_reason == "unload"
    for _ in range(600):
        if model not in {running.model for running in node.ps().models}:
            return True
        time.sleep(0.1)
    return False


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


@pytest.fixture(scope="session", params=["jinja", "go"])
def tools_model(request, node, tmp_path_factory):
    """With a template of either kind."""
    if request.param == "go":
        node.create(model=TOOLS, from_=CHAT, template=templates.TOOLS,
                    parameters={"temperature": 0})
        yield TOOLS
        node.delete(TOOLS)
        return
    source = pathlib.Path(re.search(r"^FROM (/.*)$", node.show(CHAT).modelfile, re.M).group(1))
    if not source.exists():
        pytest.skip("the model's file is on another machine")
    path = tmp_path_factory.mktemp("tools") / "tools.gguf"
    chat_template.replace(source, path, TOOL_TEMPLATE.read_text())
    node.create(model=TOOLS, files={path.name: node.create_blob(path)},
                parameters={"temperature": 0})
    yield TOOLS
    node.delete(TOOLS)


@pytest.fixture(scope="session")
def thinking_model(node):
    node.create(model=THINKS, from_=CHAT, template=templates.THINKS)
    yield THINKS
    node.delete(THINKS)


@pytest.fixture(scope="session")
def calling_model(node):
    """Thinks, calls the tool by its own choice, and answers with the result."""
    create = dict(SHOWN["create"])
    node.create(model=CALLS, from_=create.pop("from"), **create)
    yield CALLS
    node.delete(CALLS)


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
