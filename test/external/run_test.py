#!/usr/bin/env python3
"""Other servers that answer for a node: a second node as an Ollama, a real llama-server, and one
that speaks OpenAI's API and fails in every way it can."""

import http.client
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from support import cases  # noqa: E402
from support.cluster import Cluster  # noqa: E402
from support.node import MODELS, HttpError, Node, free_port  # noqa: E402
from costs import Costs  # noqa: E402, F401
from federation import CHAT, KEY, MODEL, Federation, text_of  # noqa: E402
from upstream import Upstream  # noqa: E402


STORY = {"model": "smol", "messages": [{"role": "user", "content": "Tell a long story."}],
         "options": {"num_predict": 80, "temperature": 0}}


def picked_up(node, body, key, last=0, count=None):
    """The lines of an answer after the `last` one; its client leaves after `count` of them."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    if last:
        headers["Last-Event-ID"] = str(last)
    connection = http.client.HTTPConnection(node.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", "/api/chat", json.dumps({**body, "stream": True}), headers)
        reply = connection.getresponse()
        if reply.status != 200:
            raise AssertionError(f"{reply.status}: {reply.read()}")
        lines = []
        for line in reply:
            lines.append(json.loads(line))
            if len(lines) == count:
                break
        return lines
    finally:
        connection.close()


class OpenAiServer(Federation):
    def test_its_models_are_listed_and_answer_in_every_api(self):
        upstream = self.upstream("big/model-7b", name="rack")
        self.assertIn("big/model-7b", self.node.names())
        self.assertIn("big/model-7b", [m["id"] for m in self.node.get("/v1/models")["data"]])
        self.assertIn("big/model-7b", self.node.cli("list").stdout)
        self.assertIn("completion", self.node.post("/api/show", {"model": "big/model-7b"})
                      ["capabilities"])
        whole = "".join(upstream.words)
        reply = self.chat("big/model-7b")
        self.assertEqual(reply["message"]["content"], whole)
        self.assertEqual((reply["prompt_eval_count"], reply["eval_count"]), (5, 12))
        path, sent = upstream.requests[-1]
        self.assertEqual(path, "/v1/chat/completions")
        self.assertEqual((sent["max_tokens"], sent["temperature"], sent["seed"]), (12, 0, 1))
        self.assertNotIn("num_predict", sent)
        lines = list(self.node.stream("/api/chat", {"model": "big/model-7b", **CHAT}))
        self.assertEqual(len(lines), 13)
        self.assertEqual(text_of(lines), whole)
        self.assertEqual(self.node.post("/api/generate", {"model": "big/model-7b",
                                                          "prompt": "Hi"})["response"], whole)
        # As Ollama's Go client sends it.
        self.assertEqual(self.node.post("/api/generate", {
            "model": "big/model-7b", "prompt": "Hi", "system": "", "template": ""})["response"],
            whole)
        self.assertEqual(len(upstream.requests[-1][1]["messages"]), 1)
        openai = self.node.post("/v1/chat/completions", {
            "model": "big/model-7b", "messages": CHAT["messages"]})
        self.assertEqual(openai["choices"][0]["message"]["content"], whole)
        claude = self.node.post("/v1/messages", {"model": "big/model-7b", "max_tokens": 50,
                                                 "messages": CHAT["messages"]})
        self.assertEqual(claude["content"][0]["text"], whole)
        self.assertEqual(self.header("big/model-7b", "X-OllamaMax-Node"), "backend/rack")
        vectors = self.node.post("/api/embed", {"model": "big/model-7b", "input": ["a", "bcd"]})
        self.assertEqual(len(vectors["embeddings"]), 2)
        self.assertEqual(vectors["prompt_eval_count"], 7)

    def test_many_large_vectors_come_at_once_and_say_who_made_them(self):
        upstream = self.upstream(name="rack")
        upstream.dimensions = 8192
        body = {"model": "shared", "input": ["text"] * 64}  # More than 8 MiB of them.
        with self.node.request("POST", "/api/embed", body) as reply:
            self.assertEqual(len(json.loads(reply.read())["embeddings"]), 64)
            self.assertEqual(reply.headers["X-OllamaMax-Node"], "backend/rack")

    def test_tools_schema_and_logprobs_are_translated(self):
        upstream = self.upstream(name="rack")
        tool = {"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}}}}}
        call = self.chat("shared", tools=[tool])["message"]["tool_calls"][0]["function"]
        self.assertEqual(call, {**call, "name": "weather", "arguments": {"city": "Rome"}})
        self.assertEqual(upstream.requests[-1][1]["tools"], [tool])
        schema = {"type": "object", "properties": {"a": {"type": "number"}}}
        self.chat("shared", format=schema)
        sent = upstream.requests[-1][1]["response_format"]
        self.assertEqual(sent["json_schema"]["schema"], schema)
        reply = self.chat("shared", logprobs=True)
        self.assertEqual(len(reply["logprobs"]), 12)
        self.assertEqual(reply["logprobs"][0]["token"], "word0 ")

    def test_the_key_is_used_and_never_told(self):
        upstream = self.upstream(key=KEY, name="paid")
        self.assertIn("word0", self.chat("shared")["message"]["content"])
        self.assertEqual(upstream.keys[-1], f"Bearer {KEY}")
        told = self.node.cli("backend", "list", "--json").stdout + self.node.cli(
            "backend", "list").stdout + self.node.log()
        self.assertNotIn(KEY, told)
        self.assertTrue(json.loads(self.node.cli("backend", "list", "--json").stdout)
                        ["backends"][0]["has_key"])
        holding = [path for path in self.node.folder.rglob("*") if path.is_file()
                   and path.name != "node.log" and KEY.encode() in path.read_bytes()]
        self.assertEqual(len(holding), 1)
        self.assertEqual(holding[0].stat().st_mode & 0o777, 0o600)
        # After a restart it is there again.
        self.node.stop()
        self.node.start()
        self.node.wait_until(lambda: "shared" in self.node.names(), "the model is back")
        self.assertIn("word0", self.chat("shared")["message"]["content"])
        removed = self.node.cli("backend", "remove", "paid", "--json").stdout
        self.assertEqual(json.loads(removed), {"status": "success"})
        self.assertFalse(holding[0].exists())

    def test_a_wish_to_load_or_unload_is_no_question(self):
        upstream = self.upstream(name="rack")
        for path in ("/api/chat", "/api/generate"):
            self.assertEqual(self.node.post(path, {"model": "shared"})["done_reason"], "load")
            reply = self.node.post(path, {"model": "shared", "keep_alive": 0})
            self.assertEqual(reply["done_reason"], "unload")
        self.assertEqual(upstream.requests, [])

    def test_only_the_named_models_are_offered(self):
        upstream = Upstream("one")
        self.closing.append(upstream)
        self.node.cli("backend", "add", upstream.url, "--models", "another")
        self.assertEqual(self.node.get("/api/tags")["models"], [])
        with self.assertRaises(HttpError) as refused:
            self.chat("one")
        self.assertEqual(refused.exception.status, 404)


class Failover(Federation):
    def pair(self):
        """Two servers of the same kind as vLLM: they go on from a given text."""
        return (self.upstream(owner="vllm", name="first"),
                self.upstream(owner="vllm", name="second"))

    def test_a_refusal_before_the_first_token_is_invisible(self):
        first, second = self.pair()
        first.mode = "refuse"
        self.assertEqual(self.chat("shared")["message"]["content"], "".join(first.words))
        second.mode, first.mode = "refuse", "good"
        self.assertEqual(self.chat("shared")["message"]["content"], "".join(first.words))

    def test_a_death_in_the_middle_is_continued_by_another_holder(self):
        self.check_continued("cut")

    def test_a_server_that_freezes_is_given_up_and_another_one_goes_on(self):
        self.check_continued("freeze")

    def test_tokens_are_counted_though_several_come_at_once(self):
        self.check_continued("cut", at_once=2)

    def check_continued(self, mode, at_once=1):
        first, second = self.pair()
        first.at_once = second.at_once = at_once
        # Whoever is asked first breaks off; the other one is well by then.
        first.mode = second.mode = mode
        first.on_cut = lambda: setattr(second, "mode", "good")
        second.on_cut = lambda: setattr(first, "mode", "good")
        lines = list(self.node.stream("/api/chat", {"model": "shared", **CHAT}))
        self.assertEqual(text_of(lines), "".join(first.words))
        self.assertEqual((lines[-1]["done"], lines[-1]["eval_count"]), (True, 12))
        self.assertEqual(lines[-1]["prompt_eval_count"], 5)  # Not what was gone on from.
        self.assertGreater(lines[-1]["eval_duration"], 0)
        continued = [body for upstream in (first, second) for _, body in upstream.requests
                     if body["messages"][-1]["role"] == "assistant"]
        self.assertEqual(len(continued), 1)
        self.assertTrue(continued[0]["continue_final_message"])
        self.assertEqual(continued[0]["max_tokens"], 12 - 4)

    def test_its_client_picks_an_answer_up_where_it_left_it(self):
        first, second = self.pair()
        first.pause = second.pause = 0.1
        body = {"model": "shared", **CHAT, "logprobs": True}
        lines = picked_up(self.node, body, "fox", count=4)
        lines += picked_up(self.node, body, "fox", last=4)
        self.assertEqual(text_of(lines), "".join(first.words))
        self.assertEqual([line["logprobs"][0]["token"] for line in lines[:-1]], first.words)
        self.assertEqual((lines[-1]["done"], lines[-1]["eval_count"]), (True, 12))
        asked = [body["messages"][-1] for upstream in (first, second)
                 for _, body in upstream.requests]
        self.assertEqual(sorted(message["role"] for message in asked), ["assistant", "user"])
        # It is over: all of it once more, and nobody is asked.
        self.assertEqual(text_of(picked_up(self.node, body, "fox")), "".join(first.words))
        self.assertEqual(len(first.requests) + len(second.requests), 2)
        with self.assertRaises(AssertionError) as other:
            picked_up(self.node, {**body, "messages": [{"role": "user", "content": "?"}]}, "fox")
        self.assertIn("400", str(other.exception))

    def test_a_kept_answer_is_told_again_as_it_was_and_an_unfinished_one_ends_honestly(self):
        upstream = self.upstream(name="plain")  # It cannot go on from a text.
        tool = {"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}}}}}
        body = {"model": "shared", **CHAT, "tools": [tool]}
        told = picked_up(self.node, body, "tool")
        again = picked_up(self.node, body, "tool")
        self.assertEqual(len(upstream.requests), 1)
        self.assertEqual([line["message"].get("tool_calls") for line in told],
                         [line["message"].get("tool_calls") for line in again])
        self.assertEqual(told[-1]["done_reason"], again[-1]["done_reason"])
        upstream.pause = 0.1
        body = {"model": "shared", **CHAT}
        begun = picked_up(self.node, body, "text", count=3)
        rest = picked_up(self.node, body, "text", last=3)
        self.assertEqual(text_of(begun + rest[:-1]), "".join(upstream.words)[
            :len(text_of(begun + rest[:-1]))])
        self.assertIn("where its client left it", rest[-1]["error"])

    def test_what_cannot_be_continued_ends_with_an_honest_error(self):
        upstream = self.upstream(name="only")
        self.upstream(name="plain")  # Speaks plain OpenAI: it cannot go on from a text.
        upstream.mode = self.closing[-1].mode = "cut"
        lines = list(self.node.stream("/api/chat", {"model": "shared", **CHAT}))
        self.assertEqual(text_of(lines[:-1]), "word0 word1 word2 word3 ")
        self.assertIn("error", lines[-1])

    def test_a_server_that_keeps_failing_is_left_alone_and_tried_again(self):
        upstream = self.upstream(name="flaky")
        upstream.mode = "refuse"
        for _ in range(3):
            with self.assertRaises(HttpError):
                self.chat("shared")
        sent = len(upstream.requests)
        with self.assertRaises(HttpError) as refused:
            self.chat("shared")
        self.assertEqual(len(upstream.requests), sent)  # Not asked.
        self.assertGreaterEqual(refused.exception.status, 500)
        upstream.mode = "good"
        self.node.wait_until(lambda: self.node.get("/api/v1/backends")["backends"][0]["accepting"],
                             "it may be asked again", 30)
        self.assertEqual(self.chat("shared")["message"]["content"], "".join(upstream.words))

    def test_our_own_copy_is_asked_first_and_a_backend_when_it_cannot(self):
        self.node.create(MODEL)
        upstream = self.upstream(MODEL, name="spare")
        self.chat(MODEL)
        self.assertEqual(upstream.requests, [])
        self.node.post("/api/generate", {"model": MODEL, "keep_alive": 0})
        self.node.wait_until(lambda: not self.node.runners(), "the runner has ended")
        # Most of its file is lost: our own runner cannot be started again.
        for path in (self.node.folder / "models/blobs").iterdir():
            if path.stat().st_size > 50 << 20:
                os.truncate(path, 20 << 20)
        self.assertEqual(self.chat(MODEL)["message"]["content"], "".join(upstream.words))
        self.assertEqual(self.header(MODEL, "X-OllamaMax-Node"), "backend/spare")


class RealServers(Federation):
    def test_another_node_answers_as_an_ollama(self):
        with Node() as other:
            other.create(MODEL)
            # `run` cannot say that an answer is to end, and a small model may never end it.
            modelfile = other.folder / "Modelfile"
            modelfile.write_text(f"FROM {MODEL}\nPARAMETER num_predict 20\n")
            other.cli("create", "brief", "-f", str(modelfile))
            self.node.cli("backend", "add", other.url, "--name", "attic")
            backend = self.node.get("/api/v1/backends")["backends"][0]
            self.assertEqual((backend["kind"], backend["healthy"]), ("ollama", True))
            direct = other.post("/api/chat", {"model": MODEL, **CHAT})
            reply = self.chat(MODEL)
            self.assertEqual(reply["message"]["content"], direct["message"]["content"])
            self.assertEqual(reply["eval_count"], direct["eval_count"])
            reply = self.node.post("/api/generate", {"model": MODEL, "keep_alive": 0})
            self.assertEqual(reply["done_reason"], "unload")
            other.wait_until(lambda: not other.runners(), "its runner has ended")
            reply = self.node.post("/api/chat", {"model": MODEL, "messages": []})
            self.assertEqual(reply["done_reason"], "load")
            self.assertTrue(other.runners())
            self.assertEqual(self.node.post("/api/show", {"model": MODEL})["model_info"],
                             other.post("/api/show", {"model": MODEL})["model_info"])
            shown = self.chat(MODEL, format={"type": "object", "properties": {
                "a": {"type": "integer"}}, "required": ["a"]}, options={"num_predict": 60})
            self.assertIn("a", json.loads(shown["message"]["content"]))
            self.assertTrue(self.node.cli("run", "brief", "Say hello.").stdout.strip())
            os.kill(other.process.pid, signal.SIGSTOP)  # Whoever asks of the model is told so.
            with self.assertRaises(HttpError):
                self.node.post("/api/show", {"model": MODEL}, timeout=30)
            other.stop(signal.SIGKILL)
            with self.assertRaises(HttpError):
                self.chat(MODEL)

    def test_two_that_are_each_others_backends_do_not_ask_in_circles(self):
        with Node() as other:
            other.create(MODEL)
            self.node.cli("backend", "add", other.url, "--name", "there")
            other.cli("backend", "add", self.node.url, "--name", "back")
            self.node.wait_until(lambda: self.node.names() == [MODEL], "its model is here")
            self.assertTrue(self.chat(MODEL)["message"]["content"])
            other.cli("rm", MODEL)
            self.node.wait_until(lambda: not self.node.names(), "the model is gone here, too", 30)
            self.assertEqual(other.names(), [])
            with self.assertRaises(HttpError) as refused:
                self.chat(MODEL)
            self.assertEqual(refused.exception.status, 404)

    def test_wrong_input_is_refused_with_what_is_wrong(self):
        refused = self.node.refused
        add, secret = "/api/v1/backends", "http://user:secret@127.0.0.1:1"
        self.assertIn("needs a URL", refused(400, add, {}))
        self.assertIn("as the key", refused(400, add, {"url": secret}))
        self.assertIn("name", refused(400, add, {"url": "127.0.0.1:1", "name": "..", "key": "k"}))
        for path in (add, "/api/v1/pin", "/api/v1/cluster/token"):
            self.assertIn("larger than", refused(413, path, b" " * (2 << 20)))
        for address in ("a b", "a\n", "x:0", "http://x", "0.0.0.0", "::"):
            text = refused(400, "/api/v1/cluster/init", {"advertise": address})
            self.assertIn("cannot be advertised", text)
        self.assertEqual(self.node.get(add)["backends"], [])

    def llama_server(self):
        """A real one of the small model; its process and URL."""
        port = free_port()
        server = subprocess.Popen(
            [self.node.environment["OLLAMAMAX_LLAMA_DIR"] + "/bin/llama-server", "-m",
             str(MODELS[MODEL]), "--alias", "smol", "--port", str(port), "--offline",
             "--no-webui", "-t", "1", "-c", "4096", "-np", "1", "--api-key", KEY],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server, f"http://127.0.0.1:{port}/v1"

    def test_a_llama_server_answers_and_its_death_is_told(self):
        server, url = self.llama_server()
        self.node.cli("backend", "add", url, "--key", KEY)
        self.node.wait_until(lambda: "smol" in self.node.names(), "its model is there")
        backend = self.node.get("/api/v1/backends")["backends"][0]
        self.assertEqual(backend["kind"], "llama-server")
        reply = self.chat("smol", logprobs=True, top_logprobs=2)
        self.assertEqual(reply["eval_count"], 12)
        self.assertEqual(len(reply["logprobs"][0]["top_logprobs"]), 2)
        answer = self.node.stream("/api/chat", {**STORY, "options": {"num_predict": 400,
                                                                     "temperature": 0}})
        lines = [next(answer) for _ in range(5)]
        server.kill()
        lines += list(answer)
        self.assertIn("error", lines[-1])

    def test_a_llama_server_goes_on_from_another_one_without_repeating_it(self):
        first, url = self.llama_server()
        _, other_url = self.llama_server()
        self.node.cli("backend", "add", url, "--name", "first", "--key", KEY)
        self.node.wait_until(lambda: "smol" in self.node.names(), "its model is there")
        answer = self.node.stream("/api/chat", STORY)
        lines = [next(answer) for _ in range(12)]
        first.send_signal(signal.SIGSTOP)  # It says no more until there is another one.
        self.node.cli("backend", "add", other_url, "--name", "second", "--key", KEY)
        self.node.wait_until(
            lambda: {b["name"]: b for b in self.node.get("/api/v1/backends")["backends"]}
            ["second"]["models"], "its model is known")
        first.kill()
        begun = text_of(lines)
        lines += list(answer)
        self.assertTrue(lines[-1].get("done"), lines[-1])
        self.assertEqual(text_of(lines).count(begun), 1, text_of(lines))
        self.assertEqual(lines[-1]["eval_count"], STORY["options"]["num_predict"])


def offers(node):
    return "shared" in node.names()


def backend_names(node):
    told = json.loads(node.cli("backend", "list", "--json").stdout)
    return sorted(backend["name"] for backend in told["backends"])


@contextlib.contextmanager
def foreign_server(machine):
    """The simulated one, on a machine of the cluster's network; its URL."""
    server = subprocess.Popen(
        machine.command([sys.executable, str(pathlib.Path(__file__).parent / "serve.py"),
                         machine.address, "9000", KEY]))
    try:
        yield f"http://{machine.address}:9000"
    finally:
        server.kill()
        server.wait()


class InACluster(unittest.TestCase):
    def test_what_nodes_had_by_themselves_becomes_the_clusters(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            with foreign_server(first) as url:
                for node, name in ((first, "a"), (second, "b")):
                    node.wait_until(lambda node=node, name=name: node.cli(
                        "backend", "add", url, "--name", name, "--key", KEY,
                        "--json").stdout.find('"shared"') > 0, "it is added")
                second.stop(signal.SIGKILL)
                second.start()
                self.assertEqual(backend_names(second), ["b"])
                cluster.form()
                for node in cluster.nodes:
                    node.wait_until(lambda node=node: backend_names(node) == ["a", "b"]
                                    and offers(node), f"{node.name} knows both")
                    reply = node.post("/api/chat", {"model": "shared", **CHAT})
                    self.assertIn("word0", reply["message"]["content"])
                # What is removed stays removed: the node's own facts were moved, not copied.
                first.cli("backend", "remove", "a")
                for node in cluster.nodes:
                    node.stop(signal.SIGKILL)
                for node in cluster.nodes:
                    node.start()
                cluster.wait_until_ready()
                first.wait_until(lambda: first.status()["majority"], "changes are possible")
                self.assertEqual(backend_names(first), ["b"])

    def test_every_node_knows_a_backend_and_its_key_but_no_backup_does(self):
        with Cluster(2) as cluster:
            cluster.form()
            first, second = cluster.nodes
            with foreign_server(first) as url:
                first.wait_until(lambda: first.cli("backend", "add", url, "--name", "rack", "--key",
                                                   KEY, "--json").stdout.find('"shared"') > 0,
                                 "it is added")
                for node in (first, second):
                    node.wait_until(lambda node=node: offers(node), f"{node.name} knows its model")
                    reply = node.post("/api/chat", {"model": "shared", **CHAT})
                    self.assertIn("word0", reply["message"]["content"])
                self.assertNotIn(KEY, first.cli("cluster", "backup").stdout)
                # What one node has told can be asked of the other one, also if the first is gone.
                body = {"model": "shared", **CHAT}
                told = picked_up(first, body, "fox")
                first.stop(signal.SIGKILL)
                rest = picked_up(second, body, "fox", last=3)
                self.assertEqual([line["message"] for line in rest],
                                 [line["message"] for line in told[3:]])
                first.start()
                cluster.wait_until_ready()
                # Asked again: while voters elect, changes are refused.
                second.wait_until(
                    lambda: second.cli("backend", "remove", "rack", check=False).returncode == 0
                    or not backend_names(second), "it is removed")
                first.wait_until(lambda: not offers(first), "it is gone everywhere")
                # The last one to leave keeps what the cluster had.
                second.cli("backend", "add", url, "--name", "rack", "--key", KEY)
                first.wait_until(lambda: offers(first), "it is there again")
                for node in (second, first):
                    node.cli("cluster", "leave")
                    node.wait_until(lambda node=node: not node.status()["in_cluster"], "it left")
                first.wait_until(lambda: offers(first), "it was kept")
                reply = first.post("/api/chat", {"model": "shared", **CHAT})
                self.assertIn("word0", reply["message"]["content"])
                self.assertEqual(second.get("/api/tags")["models"], [])


if __name__ == "__main__":
    cases.main()
