"""The native API of one real node, as a demanding client sees it."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import signal
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import cases, templates  # noqa: E402
from support.node import ROOT, HttpError, Node  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
from make_gguf import STRING, U32, Gguf  # noqa: E402

MODEL = "smollm2:135m"
TOOL = {"type": "function", "function": {
    "name": "weather", "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}
PERSON = {"type": "object", "required": ["name", "age", "tags"], "properties": {
    "name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"},
    "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 9, "maxItems": 9}}}
SAY = "Tell me about a dog called Rex."
HOSTILE_JINJA = (
    "{{ 1 is divisibleby(0) }}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ " + "(" * 60_000 + "1" + ")" * 60_000 + " }}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{{ 'a' * 100000000000 }}",
    "{% set n = namespace() %}{% set n.x = n %}{{ n|tojson }}")


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.node.start()
        cls.node.create(MODEL)

    def refused(self, status, path, body, method="POST"):
        return self.node.refused(status, path, body, method)

    def generate(self, prompt=SAY, **fields):
        fields["options"] = {"num_predict": 16, "temperature": 0, **fields.get("options", {})}
        return self.node.post("/api/generate", {"model": MODEL, "prompt": prompt, **fields})

    def streamed(self, prompt=SAY, **fields):
        fields["options"] = {"num_predict": 16, "temperature": 0, **fields.get("options", {})}
        rows = list(self.node.stream("/api/generate",
                                     {"model": MODEL, "prompt": prompt, **fields}))
        self.assertTrue(rows[-1]["done"], rows[-1])
        self.assertFalse(any(row["done"] for row in rows[:-1]))
        return "".join(row["response"] for row in rows), rows

    def raw(self, data, ended=False):
        """What the node says to these bytes until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=60) as peer:
            peer.sendall(data)
            if ended:
                peer.shutdown(socket.SHUT_WR)
            reply = b""
            while part := peer.recv(65536):
                reply += part
            return reply

    def running(self):
        for line in self.node.get("/metrics").splitlines():
            if line.startswith("ollamamax_requests_running"):
                return float(line.split()[-1])
        raise AssertionError("no such metric")

    def quiet(self):
        return self.node.wait_until(lambda: self.running() == 0, "no request runs any more")

    # Answers.

    def test_streamed_and_whole_answers_are_the_same(self):
        text, rows = self.streamed()
        whole = self.generate()
        self.assertEqual(whole["response"], text)
        for name in ("done_reason", "context", "eval_count", "prompt_eval_count"):
            self.assertEqual(whole[name], rows[-1][name])
        self.assertEqual(whole["done_reason"], "length")
        self.assertEqual(whole["eval_count"], 16)

    def test_all_times_are_told_also_where_nothing_had_to_be_loaded(self):
        self.generate()
        for path, fields in (("/api/generate", {"prompt": SAY}),
                             ("/api/chat", {"messages": [{"role": "user", "content": SAY}]})):
            reply = self.node.post(path, {"model": MODEL, "options": {"num_predict": 4}, **fields})
            times = [reply[f"{what}_duration"] for what in ("load", "prompt_eval", "eval")]
            self.assertTrue(all(time > 0 for time in times), times)
            self.assertGreaterEqual(reply["total_duration"], sum(times) * 0.9, times)

    def test_the_context_of_an_answer_goes_before_the_next_prompt(self):
        first = self.generate()
        second = self.generate("And its age?", context=first["context"])
        # The old tokens become text and are cut anew, perhaps a little differently.
        self.assertGreater(second["prompt_eval_count"], len(first["context"]))
        self.assertEqual(second["context"][:20], first["context"][:20])

    def test_the_same_seed_gives_the_same_answer(self):
        def draw(seed):
            return self.generate(options={"seed": seed, "temperature": 1.5})["response"]
        self.assertEqual(draw(5), draw(5))
        self.assertGreater(len({draw(seed) for seed in range(5)}), 1)

    def test_probabilities_are_complete_and_spell_the_text(self):
        plain, _ = self.streamed(options={"num_predict": 24})
        word = plain.split()[5]
        for stop in ([], [word]):
            text, rows = self.streamed(logprobs=True, top_logprobs=2,
                                       options={"num_predict": 24, "stop": stop})
            found = [one for row in rows for one in row.get("logprobs", [])]
            spelled = b"".join(bytes(one["bytes"]) for one in found).decode()
            self.assertTrue(spelled.startswith(text), (spelled, text))
            self.assertTrue(all(len(one["top_logprobs"]) == 2 for one in found))
            if stop:
                self.assertNotIn(word, text)
                self.assertEqual(rows[-1]["done_reason"], "stop")

    def test_a_prompt_longer_than_the_context(self):
        long = "word number " * 400
        small = {"num_ctx": 256, "num_predict": 4}
        self.assertLess(self.generate(long, options=small)["prompt_eval_count"], 256)
        self.assertIn("exceeds the available context size", self.refused(
            400, "/api/generate", {"model": MODEL, "prompt": long, "truncate": False,
                                   "options": small}))
        self.assertIn("longer than the context length", self.refused(
            400, "/api/generate", {"model": MODEL, "prompt": long, "shift": False,
                                   "options": small}))
        many = [{"role": "user", "content": f"{i} word number text"} for i in range(90)]
        answer = self.node.post("/api/chat", {"model": MODEL, "messages": many, "options": small})
        self.assertLess(answer["prompt_eval_count"], 256)

    def test_an_answer_longer_than_the_context(self):
        array = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 200}
        fields = {"prompt": "word " * 200, "raw": True, "format": array,
                  "options": {"num_ctx": 256, "num_predict": 90}}
        self.assertEqual(self.generate(**fields)["eval_count"], 90)
        cut = self.generate(**fields, shift=False)
        self.assertEqual(cut["prompt_eval_count"] + cut["eval_count"], 256)
        self.assertEqual(cut["done_reason"], "length")

    def test_an_empty_stop_string_stops_nothing(self):
        self.assertEqual(self.generate(options={"stop": [""]})["eval_count"], 16)

    def test_a_look_back_of_minus_one_is_the_whole_context(self):
        self.assertEqual(self.generate(options={"repeat_last_n": -1, "num_predict": 3,
                                                "repeat_penalty": 1.1})["eval_count"], 3)

    def test_characters_are_never_cut(self):
        for prompt in ("😀🎉👍🏽" * 8, "日本語で" * 10):
            text, rows = self.streamed(prompt, raw=True, options={
                "num_predict": 24, "temperature": 1.2, "seed": 2})
            self.assertFalse(any("\ufffd" in row["response"] for row in rows[:-1]), text)

    def test_unload_and_load_answer_with_one_object(self):
        loaded = self.node.post("/api/generate", {"model": MODEL, "stream": True})
        self.assertEqual((loaded["done_reason"], loaded["response"]), ("load", ""))
        gone = self.node.post("/api/chat", {"model": MODEL, "messages": [], "keep_alive": 0})
        self.assertEqual((gone["done_reason"], gone["message"]["content"]), ("unload", ""))
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "unloaded")

    # Constrained answers.

    def test_answers_fit_their_schema(self):
        answer = json.loads(self.generate(format=PERSON, options={"num_predict": 200})["response"])
        self.assertEqual(set(answer), {"name", "age", "tags"})
        self.assertIsInstance(answer["age"], int)
        self.assertEqual(len(answer["tags"]), 9)

    def test_a_schema_that_leads_back_to_itself_ends_no_node(self):
        reason = self.refused(400, "/api/generate", {
            "model": MODEL, "prompt": SAY, "format": {"allOf": [{"$ref": "#/allOf/0"}, {}]}})
        self.assertIn("leads back to itself", reason)
        # As Pydantic writes a member of the same kind: this one can be answered.
        tree = {"$ref": "#/$defs/Node", "$defs": {"Node": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"enum": ["leaf"]}, "parent": {"allOf": [{"$ref": "#/$defs/Node"}]}}}}}
        answer = self.generate(format=tree, options={"num_predict": 100})["response"]
        self.assertIn('"name"', answer)

    def test_a_runner_killed_inside_a_schema_costs_no_validity(self):
        text, resumed = "", False
        rows = self.node.stream("/api/generate", {
            "model": MODEL, "prompt": SAY, "format": PERSON,
            "options": {"num_predict": 200, "temperature": 0}})
        for row in rows:
            text += row["response"]
            if not resumed and '"tags"' in text:
                resumed = True
                os.kill(self.node.runners()[0], signal.SIGKILL)
        self.assertTrue(resumed)
        self.assertTrue(row["done"], row)
        self.assertEqual(len(json.loads(text)["tags"]), 9)

    # Tools.

    def tools_model(self, template=templates.TOOLS):
        self.node.post("/api/create", {"model": "tools", "from": MODEL, "template": template})
        self.assertIn("tools", self.node.post("/api/show", {"model": "tools"})["capabilities"])

    def test_a_tool_call_written_by_the_model_is_parsed(self):
        self.tools_model()
        call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
        messages = [{"role": "user", "content": f"Repeat exactly: {call}"},
                    {"role": "assistant", "content": call},
                    {"role": "user", "content": f"Repeat exactly: {call}"}]
        body = {"model": "tools", "messages": messages, "tools": [TOOL],
                "options": {"num_predict": 60, "temperature": 0}}
        whole = self.node.post("/api/chat", body)["message"]
        rows = list(self.node.stream("/api/chat", body))
        streamed = [one for row in rows for one in row["message"].get("tool_calls", [])]
        self.assertEqual([one["function"]["name"] for one in streamed],
                         [one["function"]["name"] for one in whole.get("tool_calls", [])])
        for one in streamed:
            self.assertEqual(one["function"]["name"], "weather")
            self.assertIsInstance(one["function"]["arguments"], dict)
            self.assertTrue(one["id"].startswith("call_"), one)

    def test_a_call_is_found_behind_a_token_that_the_runner_hides(self):
        self.tools_model(templates.TOOLS_BEHIND_A_TOKEN)
        earlier = {"id": "call_1", "type": "function", "function": {
            "name": "weather", "arguments": '{"city": "Oslo"}'}}
        choice = self.node.post("/v1/chat/completions", {
            "model": "tools", "tools": [TOOL], "tool_choice": "required", "temperature": 0,
            "max_tokens": 60, "messages": [
                {"role": "user", "content": "Is it warm in Oslo?"},
                {"role": "assistant", "tool_calls": [earlier]},
                {"role": "tool", "tool_call_id": "call_1", "content": "No"},
                {"role": "user", "content": "Is it warm in Rome?"}]})["choices"][0]
        self.assertEqual(choice["finish_reason"], "tool_calls", choice)
        self.assertFalse(choice["message"].get("content"), choice)
        [call] = choice["message"]["tool_calls"]
        self.assertEqual(call["function"]["name"], "weather")
        self.assertIn("city", json.loads(call["function"]["arguments"]))

    def test_tools_need_a_template_for_them(self):
        self.assertEqual(
            self.refused(400, "/api/chat", {
                "model": MODEL, "messages": [{"role": "user", "content": "x"}], "tools": [TOOL]}),
            f"registry.ollama.ai/library/{MODEL} does not support tools")

    # Models.

    def test_a_template_with_a_mistake_makes_no_model(self):
        self.assertIn("template error: template: :1:", self.refused(
            400, "/api/create", {"model": "broken", "from": MODEL, "template": "{{ if }}"}))
        self.assertIn("not found", self.refused(404, "/api/show", {"model": "broken"}))

    def test_a_blob_is_checked_as_it_arrives(self):
        data = os.urandom(100_000)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        wrong = "sha256:" + "0" * 64
        with self.assertRaises(HttpError) as missing:
            self.node.request("HEAD", f"/api/blobs/{digest}")
        self.assertEqual(missing.exception.status, 404)
        self.assertIn("digest mismatch", self.refused(400, f"/api/blobs/{wrong}", data))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                          for part in (data[:1], data[1:70_000], data[70_000:])) + b"0\r\n\r\n"
        head = (f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n"
                "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").encode()
        self.assertIn(b" 201 ", self.raw(head + chunks).split(b"\r\n")[0])
        self.assertEqual(self.node.request("HEAD", f"/api/blobs/{digest}").status, 200)
        self.assertEqual(self.node.request("POST", f"/api/blobs/{digest}", data).status, 200)
        self.assertEqual(self.refused(400, "/api/blobs/sha256:xyz", b""), "invalid digest format")

    # Many, slow and rude clients.

    def test_many_requests_at_once_are_all_answered(self):
        def ask(number):
            answer = self.generate(f"Say {number}", options={"num_predict": 2})
            return answer["done"] and answer["eval_count"] <= 2
        with concurrent.futures.ThreadPoolExecutor(60) as clients:
            self.assertEqual(list(clients.map(ask, range(60))), [True] * 60)
        self.quiet()

    def test_streams_side_by_side_do_not_mix(self):
        alone = [self.streamed(f"Count from {start}.")[0] for start in (1, 100)]
        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            together = list(clients.map(lambda start: self.streamed(f"Count from {start}."),
                                        (1, 100, 1, 100)))
        for (text, rows), expected in zip(together, alone * 2):
            # Batches round a little differently; the beginning is beyond such doubt.
            self.assertEqual(text[:4], expected[:4])
            self.assertTrue(rows[-1]["done"])
            if rows[-1]["done_reason"] == "length":  # It may also end by itself before that.
                self.assertEqual(rows[-1]["eval_count"], 16)

    def test_a_client_that_leaves_frees_its_place(self):
        body = json.dumps({"model": MODEL, "prompt": "word " * 1500,
                           "options": {"num_predict": -1}}).encode()
        head = (f"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        self.node.post("/api/generate", {"model": MODEL, "keep_alive": 0})
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "unloaded")
        for _ in range(3):  # The first leaves while the model loads, the others while it reads.
            peers = [socket.create_connection(("127.0.0.1", self.node.port)) for _ in range(6)]
            for peer in peers:
                peer.sendall(head + body)
            self.node.wait_until(lambda: self.node.get("/api/ps")["models"], "it is at work")
            for peer in peers:
                peer.close()
            self.quiet()
        self.assertEqual(self.generate(options={"num_predict": 2})["eval_count"], 2)

    def test_old_and_pipelined_requests(self):
        old = self.raw(b"GET /api/version HTTP/1.0\r\n\r\n")
        self.assertIn(b" 200 ", old.split(b"\r\n")[0])
        self.assertNotIn(b"chunked", old)
        body = json.dumps({"model": MODEL, "prompt": "x", "options": {"num_predict": 3}}).encode()
        streamed = self.raw(b"POST /api/generate HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" %
                            (len(body), body))
        self.assertNotIn(b"Transfer-Encoding", streamed)
        self.assertTrue(json.loads(streamed.strip().split(b"\n")[-1])["done"])
        one = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.raw(one * 20, ended=True).count(b'{"version"'), 20)

    def test_hostile_bodies_are_refused_with_reasons(self):
        deep = b'{"model":"x","options":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
        self.refused(400, "/api/generate", deep)
        head = (b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                b"Content-Length: 99999999999\r\n\r\n")
        self.assertIn(b" 413 ", self.raw(head).split(b"\r\n")[0])
        for text in (b"\x00", b"{\"model\":\"\xff\xfe\"}", b"[" * 100_000):
            self.refused(400, "/api/chat", text)
        self.assertEqual(self.node.get("/"), "Ollama is running")

    def test_hostile_templates_are_shown_but_refused(self):
        for number, jinja in enumerate(HOSTILE_JINJA):
            gguf = Gguf().add("general.architecture", STRING, "llama")
            gguf.add("llama.context_length", U32, 512)
            gguf.add("tokenizer.chat_template", STRING, jinja)
            data = gguf.tensor("token_embd.weight", [32, 2], 0).bytes()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            self.node.request("POST", f"/api/blobs/{digest}", data).close()
            model = f"hostile{number}"
            self.node.post("/api/create", {"model": model, "files": {"m.gguf": digest},
                                           "stream": False})
            with self.subTest(jinja[:60]):
                self.assertEqual(self.node.post("/api/show", {"model": model})["template"], jinja)
                with self.assertRaises(HttpError) as refused:
                    self.node.post("/api/chat", {
                        "model": model, "messages": [{"role": "user", "content": "Hello"}]})
                # One that can be compiled is not run before the runner, which takes no such model.
                self.assertIn(refused.exception.status, (400, 500))
        self.assertEqual(self.node.get("/"), "Ollama is running")

    def test_everything_works_after_a_restart(self):
        before = [one["digest"] for one in self.node.get("/api/tags")["models"]
                  if one["name"] == MODEL]
        self.node.stop()
        self.node.start()
        self.assertEqual(before, [one["digest"] for one in self.node.get("/api/tags")["models"]
                                  if one["name"] == MODEL])
        self.assertEqual(self.generate(options={"num_predict": 2})["eval_count"], 2)


if __name__ == "__main__":
    cases.main()
