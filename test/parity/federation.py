"""A real Ollama as a backend of a node: its models are the node's, and its death costs a pause."""

import json
import os
import signal

from support.node import Node

CHAT = {"messages": [{"role": "user", "content": "Tell me of the sea."}], "stream": False,
        "options": {"num_predict": 12, "temperature": 0, "seed": 1}}
LONG = {**CHAT, "stream": True, "options": {**CHAT["options"], "num_predict": 300}}


def without_times(reply):
    """Nor the ids of tokens, which only the model's own server knows."""
    return {name: value for name, value in reply.items()
            if not name.endswith("_duration") and name not in ("created_at", "context")}


def same(node, theirs, path, body):
    return without_times(node.post(path, body)) == without_times(theirs.post(path, body))


def said(node, body):
    lines = list(node.stream("/api/chat", body))
    return "".join(line["message"]["content"] for line in lines), lines[-1]


def answers(node, theirs):
    """What the node says of Ollama's models, and lets them say."""
    backend, = node.get("/api/v1/backends")["backends"]
    whole = theirs.post("/api/chat", {"model": "say", **CHAT})
    streamed, last = said(node, {"model": "say", **CHAT, "stream": True})
    texts = {"openai": node.post("/v1/chat/completions", {
        "model": "say", "max_tokens": 12, "temperature": 0, "messages": CHAT["messages"]}),
             "anthropic": node.post("/v1/messages", {
                 "model": "say", "max_tokens": 12, "temperature": 0, "messages": CHAT["messages"]})}
    return {
        "it is known as an Ollama": (backend["kind"], backend["healthy"]) == ("ollama", True),
        "its models are listed": set(node.names()) >= set(theirs.names()),
        "an answer": same(node, theirs, "/api/chat", {"model": "say", **CHAT}),
        "a streamed answer": streamed == whole["message"]["content"] and last["eval_count"] == 12,
        "a prompt": same(node, theirs, "/api/generate", {
            "model": "say", "prompt": "Hi", "stream": False, "options": CHAT["options"]}),
        "thoughts": same(node, theirs, "/api/chat", {"model": "thinker", "think": True, **CHAT}),
        "vectors": same(node, theirs, "/api/embed", {"model": "embedder", "input": ["a", "bc"]}),
        "OpenAI's clients": bool(texts["openai"]["choices"][0]["message"]["content"]),
        "Anthropic's clients": bool(texts["anthropic"]["content"][0]["text"])}


def survives(node, theirs, second):
    """The death of the one that answers: the other goes on, and says nothing twice."""
    whole, _ = said(theirs, {"model": "say", **LONG})
    by_backend = {"backend/real": theirs, "backend/second": second}
    with node.request("POST", "/api/chat", {"model": "say", **LONG}) as reply:
        served, lines = by_backend[reply.headers["X-OllamaMax-Node"]], []
        for line in reply:
            lines.append(json.loads(line))
            if len(lines) == 20:
                os.killpg(served.process.pid, signal.SIGKILL)
    served.process.wait(60)
    served.start()
    text = "".join(line["message"]["content"] for line in lines)
    before = "".join(line["message"]["content"] for line in lines[:20])
    print(f"    it said {before[-60:]!r}, then {text[len(before):][:60]!r}", flush=True)
    return (lines[-1]["done"] and text.startswith(before) and whole.startswith(before)
            and text.count(before[-40:]) == whole.count(before[-40:]))


def check(theirs, second):
    """What holds, by what it is."""
    with Node({"OLLAMA_CONTEXT_LENGTH": "2048"}) as node:
        node.cli("backend", "add", theirs.url, "--name", "real")
        node.wait_until(lambda: node.names(), "its models are known")
        results = answers(node, theirs)
        node.cli("backend", "add", second.url, "--name", "second")
        node.wait_until(lambda: all(backend["healthy"] for backend in node.get(
            "/api/v1/backends")["backends"]), "both answer")
        results["the death of one of two in the middle of an answer"] = survives(
            node, theirs, second)
    return {f"an Ollama behind a node: {what}": held for what, held in results.items()}
