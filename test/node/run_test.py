#!/usr/bin/env python3
"""A real node with a real model: what users count on when things go wrong."""

import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.node import HttpError, Node  # noqa: E402

MODEL = "smollm2:135m"
LONG = {"model": MODEL, "prompt": "Write a very long story about a fox and a river.",
        "options": {"num_predict": 300, "temperature": 0, "seed": 1}}


def text_of(lines):
    return "".join(line.get("response", "") for line in lines)


class RealNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.node.start()
        cls.node.create(MODEL)

    @classmethod
    def tearDownClass(cls):
        cls.node.__exit__(None, None, None)

    def test_streams_an_answer_with_a_done_line(self):
        lines = list(self.node.stream("/api/chat", {
            "model": MODEL, "messages": [{"role": "user", "content": "Say hello."}],
            "options": {"num_predict": 16, "temperature": 0}}))
        self.assertGreater(len(lines), 3)
        last = lines[-1]
        self.assertTrue(last["done"])
        self.assertIn(last["done_reason"], ("stop", "length"))
        self.assertGreater(last["eval_count"], 0)
        self.assertGreater(last["prompt_eval_count"], 5)
        self.assertTrue("".join(line["message"]["content"] for line in lines).strip())

    def test_a_runner_that_is_killed_in_mid_answer_costs_a_pause_only(self):
        seen = []
        with self.node.request("POST", "/api/generate", {"stream": True, **LONG}) as reply:
            for line in reply:
                seen.append(json.loads(line))
                if len(seen) == 20:
                    first = self.node.runners()
                    self.assertFalse(seen[-1]["done"])
                    for pid in first:
                        os.kill(pid, signal.SIGKILL)
        self.assertNotIn("error", seen[-1], seen[-1])
        self.assertTrue(seen[-1]["done"], seen[-1])
        self.assertNotEqual(self.node.runners(), first)
        if seen[-1]["done_reason"] == "length":
            self.assertEqual(seen[-1]["eval_count"], LONG["options"]["num_predict"])
        # Nothing is said twice: the context that the reply tells is the prompt and all its tokens.
        self.assertEqual(len(seen[-1]["context"]),
                         seen[-1]["prompt_eval_count"] + seen[-1]["eval_count"])

    def test_a_runner_that_died_while_idle_is_not_noticed(self):
        self.node.post("/api/generate", {"model": MODEL})
        for pid in self.node.runners():
            os.kill(pid, signal.SIGKILL)
        reply = self.node.post("/api/generate", {"model": MODEL, "prompt": "Hi",
                                                 "options": {"num_predict": 4}})
        self.assertTrue(reply["done"])

    def test_a_smaller_context_is_served_without_a_reload(self):
        ask = {"model": MODEL, "prompt": "Hi", "options": {"num_predict": 2, "num_ctx": 4096}}
        self.node.post("/api/generate", ask)
        before = self.node.runners()
        for size in (512, 2048, 4096, 1024):
            ask["options"]["num_ctx"] = size
            self.node.post("/api/generate", ask)
        self.assertEqual(self.node.runners(), before)

    def test_a_client_that_leaves_stops_the_generation(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.node.port)
        body = json.dumps({**LONG, "options": {"num_predict": 2000, "ignore_eos": True}})
        connection.request("POST", "/api/generate", body)
        reply = connection.getresponse()
        reply.readline()
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        # The slot is free again: a short request is answered although the long one had minutes.
        self.node.wait_until(lambda: 'ollamamax_requests_running 0' in self.node.get("/metrics")
                             or "requests_running 0" in self.node.get("/metrics"),
                             "no request runs any more", seconds=30)

    def test_keep_alive_zero_unloads(self):
        self.node.post("/api/generate", {"model": MODEL, "prompt": "Hi", "keep_alive": 0,
                                         "options": {"num_predict": 1}})
        self.node.wait_until(lambda: not self.node.runners(), "the runner has gone")
        self.assertEqual(self.node.get("/api/ps")["models"], [])

    def test_ps_tells_what_is_loaded(self):
        self.node.post("/api/generate", {"model": MODEL})
        models = self.node.get("/api/ps")["models"]
        self.assertEqual([model["name"] for model in models], [MODEL])
        self.assertGreater(models[0]["size"], 90_000_000)
        self.assertGreater(models[0]["context_length"], 0)

    def test_foreign_pages_and_names_are_refused(self):
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            with self.assertRaises(HttpError) as caught:
                self.node.get("/api/tags", headers=headers)
            self.assertEqual(caught.exception.status, 403)
        self.node.get("/api/tags", headers={"Origin": "http://localhost:3000"})

    def test_healthy_and_measured(self):
        self.assertEqual(self.node.request("GET", "/livez").status, 200)
        self.assertEqual(self.node.request("GET", "/readyz").status, 200)
        metrics = self.node.get("/metrics")
        for name in ("ollamamax_pool_hits_total", "ollamamax_http_responses_total"):
            self.assertIn(name, metrics)


class NodeLife(unittest.TestCase):
    def test_kill_nine_leaves_no_orphans_and_the_store_whole(self):
        with Node() as node:
            node.create(MODEL)
            node.post("/api/generate", {"model": MODEL})
            runners = node.runners()
            self.assertEqual(len(runners), 1)
            node.stop(signal.SIGKILL)
            node.wait_until(lambda: not node.runners(), "the runners are gone too")
            node.start()
            self.assertEqual(len(node.get("/api/tags")["models"]), 1)
            node.post("/api/generate", {"model": MODEL, "prompt": "x",
                                        "options": {"num_predict": 1}})

    def test_sigterm_lets_a_running_answer_end(self):
        # The drain time is long enough for any machine; what counts is that the answer is whole.
        with Node({"OLLAMAMAX_DRAIN_TIME": "10m"}) as node:
            node.create(MODEL)
            node.post("/api/generate", {"model": MODEL})
            ask = {**LONG, "options": {**LONG["options"], "num_predict": 100}}
            seen = []
            with node.request("POST", "/api/generate", {"stream": True, **ask}) as reply:
                seen.append(json.loads(reply.readline()))
                node.process.send_signal(signal.SIGTERM)
                for line in reply:
                    seen.append(json.loads(line))
            self.assertTrue(seen[-1].get("done"), seen[-1])
            self.assertEqual(node.process.wait(300), 0)
            self.assertEqual(node.runners(), [])

    def test_a_full_queue_is_refused_in_ollamas_words(self):
        with Node({"OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_QUEUE": "1"}) as node:
            node.create(MODEL)
            short = {**LONG, "options": {"num_predict": 2}}
            endless = {**LONG, "options": {**LONG["options"], "num_predict": -1}}
            answered = []
            waiting = threading.Thread(
                target=lambda: answered.append(node.post("/api/generate", short)))
            running = node.request("POST", "/api/generate", {"stream": True, **endless})
            try:
                running.readline()  # It holds the only slot until it is left.
                waiting.start()
                node.wait_until(lambda: "ollamamax_queue_length 1\n" in node.get("/metrics"),
                                "one request waits")
                with self.assertRaises(HttpError) as refusal:
                    node.post("/api/generate", short)
            finally:
                running.close()
            waiting.join()
            self.assertEqual(refusal.exception.status, 503)
            self.assertEqual(refusal.exception.text, "server busy, please try again.  "
                                                     "maximum pending requests exceeded")
            self.assertIsNotNone(refusal.exception.headers.get("Retry-After"))
            self.assertTrue(answered[0]["done"])

    def test_headers_say_who_waits_and_for_how_long(self):
        with Node({"OLLAMA_NUM_PARALLEL": "1"}) as node:
            node.create(MODEL)
            short = {**LONG, "options": {"num_predict": 2}}
            endless = {**LONG, "options": {**LONG["options"], "num_predict": -1}}
            order = []

            def ask(name, headers):
                node.post("/api/generate", short, headers=headers)
                order.append(name)
            clients = [threading.Thread(target=ask, args=case) for case in [
                ("batch", {"X-Priority": "batch"}), ("first", {"X-Api-Key": "greedy"}),
                ("second", {"X-Api-Key": "greedy"}), ("modest", {"X-Api-Key": "modest"})]]
            running = node.request("POST", "/api/generate", {"stream": True, **endless})
            try:
                running.readline()
                for count, client in enumerate(clients):
                    client.start()
                    waits = f"ollamamax_queue_length {count + 1}\n"
                    node.wait_until(lambda: waits in node.get("/metrics"), waits)
                for headers, status in [({"X-Queue-Timeout": "200ms"}, 503),
                                        ({"X-Priority": "urgent"}, 400)]:
                    with self.assertRaises(HttpError) as refusal:
                        node.post("/api/generate", short, headers=headers)
                    self.assertEqual(refusal.exception.status, status)
            finally:
                running.close()
            for client in clients:
                client.join()
            self.assertEqual(order, ["first", "modest", "second", "batch"])

    def test_an_address_in_use_is_explained(self):
        with Node() as node:
            second = node.cli("serve", check=False)
            self.assertEqual(second.returncode, 1)
            self.assertIn("OLLAMA_HOST", second.stderr)


if __name__ == "__main__":
    cases.main()
