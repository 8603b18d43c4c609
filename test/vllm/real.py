#!/usr/bin/env python3
"""Two real vLLMs behind a node: what they answer directly is what they answer through it, and when
one of them dies in an answer the other goes on. Also `create` from the safetensors they serve,
whose converter needs the same libraries.

    real.py FOLDER     what tools/install_vllm.sh printed
"""

import json
import os
import pathlib
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import cases  # noqa: E402
from support.node import HttpError, Node  # noqa: E402
from server import MODEL, Server  # noqa: E402

FOLDER = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else None
STORY = [{"role": "user", "content": "Write a long story about a fox."}]
TOKENS = 100
GREEDY = {"temperature": 0, "num_predict": TOKENS}
CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather.",
                                         "parameters": CITY}}


def setUpModule():
    global log, servers, node
    log = tempfile.TemporaryFile()
    servers = {name: Server(FOLDER, name, log) for name in ("first", "second")}
    # The converter is started with the Python that is found first.
    node = Node({"PATH": f"{FOLDER}/venv/bin:{os.environ['PATH']}"})
    node.start()
    for server in servers.values():
        server.start()
    for server in servers.values():
        server.wait()
        node.cli("backend", "add", server.url, "--name", server.name)


def tearDownModule():
    node.stop()
    for server in servers.values():
        server.kill()


def direct(path="/v1/chat/completions", **body):
    return servers["first"].ask(path, {"model": MODEL, "temperature": 0, **body})


class Answers(unittest.TestCase):
    def test_what_they_are_is_found_out(self):
        backends = node.get("/api/v1/backends")["backends"]
        self.assertEqual([(one["kind"], one["models"]) for one in backends],
                         [("vllm", [MODEL])] * 2)
        self.assertIn(MODEL, node.cli("list").stdout)

    def test_an_answer_is_the_one_that_they_give(self):
        own = direct(messages=STORY, max_tokens=TOKENS)
        reply = node.post("/api/chat", {"model": MODEL, "messages": STORY, "options": GREEDY})
        self.assertEqual(reply["message"]["content"], own["choices"][0]["message"]["content"])
        self.assertEqual((reply["prompt_eval_count"], reply["eval_count"]),
                         (own["usage"]["prompt_tokens"], TOKENS))
        self.assertGreater(reply["eval_duration"], 0)
        self.assertEqual(reply["done_reason"], "length")
        generated = node.post("/api/generate", {"model": MODEL, "prompt": STORY[0]["content"],
                                                "options": GREEDY})
        self.assertEqual(generated["response"], reply["message"]["content"])
        anthropic = node.post("/v1/messages", {"model": MODEL, "messages": STORY,
                                               "max_tokens": TOKENS, "temperature": 0})
        self.assertEqual(anthropic["content"][0]["text"], reply["message"]["content"])
        raw = node.post("/api/generate", {"model": MODEL, "prompt": "One, two, three,",
                                          "raw": True, "options": GREEDY})
        plain = direct("/v1/completions", prompt="One, two, three,", max_tokens=TOKENS)
        self.assertEqual(raw["response"], plain["choices"][0]["text"])

    def test_what_was_cached_is_told(self):
        asked = [{"role": "user", "content": "A fox and a hen. " * 20}]
        for _ in range(len(servers) + 1):  # One of them is asked a second time.
            reply = node.post("/v1/chat/completions", {"model": MODEL, "messages": asked,
                                                       "max_tokens": 1})
        usage = reply["usage"]
        self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], 0)
        self.assertLess(usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"])

    def test_schemas_stops_and_logprobs_hold(self):
        ask = {"model": MODEL, "messages": STORY, "options": GREEDY}
        # Its grammar lets a small model go on with blanks for ever: not after this question.
        city = [{"role": "user", "content": "A city please"}]
        bound = node.post("/api/chat", {**ask, "messages": city, "format": CITY})
        self.assertIn(json.loads(bound["message"]["content"])["city"], ("Paris", "Rome"))
        whole = node.post("/api/chat", ask)["message"]["content"]
        stop = whole.split()[5]
        short = node.post("/api/chat", {**ask, "options": {**GREEDY, "stop": [stop]}})
        self.assertEqual(short["message"]["content"], whole.partition(stop)[0])
        self.assertEqual(short["done_reason"], "stop")
        told = node.post("/api/chat", {**ask, "logprobs": True, "top_logprobs": 2,
                                       "options": {**GREEDY, "num_predict": 3}})["logprobs"]
        self.assertTrue(whole.startswith("".join(one["token"] for one in told)))
        self.assertEqual([len(one["top_logprobs"]) for one in told], [2, 2, 2])

    def test_tools_go_there_and_calls_come_back(self):
        question = [{"role": "user", "content": "Weather in Rome?"}]
        choice = {"type": "function", "function": {"name": "weather"}}
        asked = {"messages": question, "tools": [TOOL], "tool_choice": choice, "max_tokens": 120}
        own = direct(**asked)["choices"][0]["message"]["tool_calls"][0]["function"]
        reply = node.post("/v1/chat/completions", {"model": MODEL, "temperature": 0, **asked})
        call = reply["choices"][0]["message"]["tool_calls"][0]["function"]
        self.assertEqual(call["name"], "weather")
        self.assertEqual(json.loads(call["arguments"]), json.loads(own["arguments"]))
        answer = node.post("/api/chat", {"model": MODEL, "tools": [TOOL], "options": GREEDY,
                                         "messages": [*question, {
                                             "role": "assistant", "content": "", "tool_calls": [
                                                 {"function": {"name": "weather",
                                                               "arguments": {"city": "Rome"}}}]},
                                             {"role": "tool", "content": "sunny"}]})
        self.assertTrue(answer["message"]["content"])

    def test_their_refusals_are_ours(self):
        for change in ({"messages": [{"role": "user", "content": "hello " * 4000}]},
                       {"options": {"temperature": -1}}):
            with self.assertRaises(HttpError) as refused:
                node.post("/api/chat", {"model": MODEL, "messages": STORY, **change})
            self.assertEqual(refused.exception.status, 400)
            self.assertIn("backend", refused.exception.text)


class Failover(unittest.TestCase):
    def broken(self, path, body, act, after=30):
        """The events of a stream whose server had `act` done to it after some of them."""
        events = []
        with node.request("POST", path, {"model": MODEL, "stream": True, **body}) as reply:
            name = reply.headers["X-OllamaMax-Node"].removeprefix("backend/")
            for line in reply:
                text = line.decode().removeprefix("data: ").strip()
                if not text.startswith("{"):
                    continue
                events.append(json.loads(text))
                if len(events) == after:
                    act(servers[name])
        return events, servers[name]

    def revive(self, server):
        server.kill()
        server.start()
        server.wait()
        # Its failures are forgotten once it answers.
        node.cli("backend", "remove", server.name)
        node.cli("backend", "add", server.url, "--name", server.name)

    def check(self, path, body, text_of, act=Server.kill):
        whole = "".join(map(text_of, self.broken(path, body, lambda _: None)[0]))
        events, server = self.broken(path, body, act)
        self.addCleanup(self.revive, server)
        self.assertEqual("".join(map(text_of, events)), whole)
        return events

    def test_a_chat_goes_on_when_its_server_is_killed(self):
        own = direct(messages=STORY, max_tokens=TOKENS)["usage"]
        last = self.check("/api/chat", {"messages": STORY, "options": GREEDY},
                          lambda event: event["message"]["content"])[-1]
        self.assertEqual((last["prompt_eval_count"], last["eval_count"], last["done_reason"]),
                         (own["prompt_tokens"], TOKENS, "length"))

    def test_openais_stream_goes_on(self):
        events = self.check("/v1/chat/completions",
                            {"messages": STORY, "temperature": 0, "max_tokens": TOKENS,
                             "stream_options": {"include_usage": True}},
                            lambda event: (event["choices"] or [{"delta": {}}])[0]["delta"]
                            .get("content") or "")
        self.assertEqual(events[-1]["usage"]["completion_tokens"], TOKENS)

    def test_anthropics_stream_goes_on(self):
        self.check("/v1/messages", {"messages": STORY, "temperature": 0, "max_tokens": TOKENS},
                   lambda event: event.get("delta", {}).get("text", ""))

    def test_a_raw_prompt_goes_on(self):
        self.check("/api/generate", {"prompt": "One, two, three,", "raw": True, "options": GREEDY},
                   lambda event: event["response"])

    def test_a_frozen_server_is_given_up(self):
        self.check("/api/chat", {"messages": STORY, "options": GREEDY},
                   lambda event: event["message"]["content"],
                   lambda server: server.signal(signal.SIGSTOP))

    def test_what_a_schema_binds_ends_honestly(self):
        words = {"type": "array", "items": {"type": "string"}, "minItems": 40}
        events, server = self.broken("/api/chat", {"messages": STORY, "format": words,
                                                   "options": {**GREEDY, "num_predict": 300}},
                                     Server.kill)
        self.addCleanup(self.revive, server)
        self.assertIn("cannot be continued elsewhere", events[-1]["error"])


class Safetensors(unittest.TestCase):
    def test_become_a_model_of_ours(self):
        modelfile = node.folder / "Modelfile"
        modelfile.write_text(f"FROM {FOLDER}/smollm2\n")
        for name, more, level in (("whole", (), "BF16"), ("small", ("--quantize", "q8_0"), "Q8_0")):
            node.cli("create", name, "-f", str(modelfile), *more)
            self.assertEqual(node.post("/api/show", {"model": name})["details"]
                             ["quantization_level"], level)
            reply = node.post("/api/chat", {"model": name, "messages": STORY, "options": GREEDY})
            self.assertIn("fox", reply["message"]["content"])


if __name__ == "__main__":
    cases.main()
