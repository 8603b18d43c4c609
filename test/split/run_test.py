#!/usr/bin/env python3
"""A model larger than any of three machines, run by all of them: network namespaces, the kernel's
own memory limit on each, ggml-rpc-server behind the nodes' mutual TLS, real deaths."""

import json
import os
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.cluster import Cluster, Machine  # noqa: E402
from support.memory_limit import MemoryLimit  # noqa: E402
from support.node import HttpError, Node  # noqa: E402
from support.processes import processes  # noqa: E402
from support.streaming import Streamed  # noqa: E402

MODEL = "smollm2:135m"
CONTEXT = 4096
TOKENS = 60
# So that an answer that goes on equals an unbroken one (docs/failover.md).
EXACT = {"OLLAMAMAX_DETERMINISTIC": "1", "OLLAMA_NUM_PARALLEL": "1", "OLLAMAMAX_THREADS": "1",
         "OLLAMA_CONTEXT_LENGTH": str(CONTEXT)}
LIMIT = 350 << 20    # Of everything on one machine.
RESERVED = 110 << 20  # Of that, for the node itself and its voter.
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Tell me about foxes."}],
        "options": {"num_predict": TOKENS, "temperature": 0, "seed": 1}}


class Limited(Machine):
    def __init__(self, network, index, environment=None):
        super().__init__(network, index, {**EXACT, "OLLAMA_GPU_OVERHEAD": str(RESERVED),
                                          **(environment or {})})
        self.limit = MemoryLimit(self.name, LIMIT)

    def command(self, line):
        return self.limit.command(self.network.enter(self.index, line))


def running(program):
    return {process.pid for process in processes()
            if process.program == program and not process.has_ended}


class Alone(Node):
    """One of the machines by itself."""

    def __init__(self):
        super().__init__({**EXACT, "HOME": "/nonexistent", "OLLAMA_GPU_OVERHEAD": str(RESERVED)})
        self.limit = MemoryLimit("alone", LIMIT)

    def command(self, line):
        return self.limit.command(line)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.limit.remove()


class OneMachine(unittest.TestCase):
    """Why it is split: the same model, with the kernel's limit that each of the machines has."""

    def test_one_machine_refuses_the_model_and_says_why(self):
        with Alone() as node:
            node.create(MODEL)
            with self.assertRaises(HttpError) as refused:
                node.post("/api/chat", CHAT)
            self.assertIn("memory", refused.exception.text)
            self.assertEqual(node.get("/api/ps")["models"], [])
            self.assertEqual(node.limit.killed(), 0)


class SplitModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.whole = cls.answer_of_one_machine()
        cls.cluster = Cluster(3, machine=Limited)
        cls.cluster.__enter__()
        try:
            cls.cluster.form()
            cls.nodes = cls.cluster.nodes
            cls.nodes[0].create(MODEL)
            cls.nodes[0].wait_until(lambda: "split" in cls.nodes[0].post(
                "/api/v1/placement", {"model": MODEL}), "it is told that n1 has the files")
        except BaseException:
            cls.leave(True)
            raise

    @classmethod
    def leave(cls, failed=None):
        cls.cluster.__exit__(failed, None, None)
        for node in cls.cluster.nodes:
            node.limit.remove()

    @classmethod
    def tearDownClass(cls):
        cls.leave()
        if left := running("ggml-rpc-server"):
            raise AssertionError(f"left behind: {left}")

    @staticmethod
    def answer_of_one_machine():
        with Node(EXACT) as node:
            node.create(MODEL)
            reply = node.post("/api/chat", CHAT)
            return reply["message"]["content"]

    def setUp(self):
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
        self.cluster.wait_until_ready()
        self.unload()

    def parts(self):
        return running("ggml-rpc-server")

    def unload(self):
        self.nodes[0].post("/api/generate", {"model": MODEL, "keep_alive": 0})
        self.nodes[0].wait_until(
            lambda: not self.parts() and not running("llama-server"), "all parts are freed", 60)

    def plan(self):
        return self.nodes[0].post("/api/v1/placement", {"model": MODEL})

    def test_no_machine_could_hold_it_and_the_dry_run_says_who_would(self):
        plan = self.plan()
        self.assertEqual({candidate.get("excluded") for candidate in plan["candidates"]},
                         {"the model does not fit into its memory"})
        split = plan["split"]
        parts = {part["node"] for part in split["parts"]}
        self.assertEqual({split["node"], *parts}, {"n1", "n2", "n3"})
        self.assertEqual(len(parts), 2)
        # Whoever is asked chooses the same: two would take from each other what both need.
        for node in self.nodes[1:]:
            other = node.post("/api/v1/placement", {"model": MODEL})["split"]
            self.assertEqual(other["node"], split["node"])
        self.assertEqual(split["blocks"] + sum(part["blocks"] for part in split["parts"]), 31)

    def test_three_machines_answer_as_one_large_one_would(self):
        answer = Streamed(self.nodes[2], "/api/chat", CHAT)
        lines = answer.finish()
        self.assertEqual(answer.text(), self.whole)
        self.assertEqual(lines[-1]["eval_count"], TOKENS)
        self.assertEqual(len(self.parts()), 2)
        for node in self.nodes:
            self.assertEqual(node.limit.killed(), 0)
        # Told wherever somebody asks, as one model with its parts.
        for node in self.nodes:
            node.wait_until(lambda node=node: len(node.get("/api/ps")["models"]) == 1,
                            f"{node.name} tells of the model")
            model = node.get("/api/ps")["models"][0]
            self.assertEqual(model["name"], MODEL)
            self.assertEqual(len(model["parts"]), 2)
            self.assertGreater(model["size"], LIMIT - RESERVED)
        why = json.loads(self.nodes[2].cli("explain", answer.id, "--json").stdout)
        holders = [why["split"], *why["split"]["parts"]]
        self.assertEqual({holder["node"] for holder in holders}, {"n1", "n2", "n3"})
        # Warm now: the same request runs on what is loaded.
        self.assertEqual(self.nodes[1].post("/api/chat", CHAT)["message"]["content"], self.whole)
        # Nothing between the machines is open but what the nodes always have.
        for pid in self.parts():
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            self.assertIn(b"127.0.0.1", arguments)

    def begin(self):
        answer = Streamed(self.nodes[0], "/api/chat", CHAT)
        answer.wait_for(8)
        return answer

    def test_an_answer_goes_on_when_a_part_is_killed(self):
        answer = self.begin()
        before = self.parts()
        os.kill(next(iter(before)), signal.SIGKILL)
        lines = answer.finish()
        self.assertNotIn("error", lines[-1])
        self.assertEqual(answer.text(), self.whole)
        self.assertEqual(lines[-1]["eval_count"], TOKENS)
        print(f"pause after a part was killed: {answer.gap:.2f} s")
        self.assertTrue(before.isdisjoint(self.parts()))

    def test_an_answer_that_cannot_go_on_says_so_when_a_machine_dies(self):
        answer = self.begin()
        self.nodes[2].kill()
        lines = answer.finish()
        # Two machines are too few for it: all that came is right, and then the truth.
        self.assertTrue(self.whole.startswith(answer.text()))
        self.assertIn("error", lines[-1])
        self.nodes[0].wait_until(lambda: not self.parts(), "the other part is freed", 60)
        with self.assertRaises(HttpError) as refused:
            self.nodes[0].post("/api/chat", CHAT)
        self.assertIn("memory", refused.exception.text)

    def test_parts_end_with_the_machine_that_used_them(self):
        answer = self.begin()
        why = json.loads(self.nodes[0].cli("explain", answer.id, "--json").stdout)
        main = next(node for node in self.nodes if node.name == why["split"]["node"])
        main.kill()
        other = next(node for node in self.nodes if node is not main)
        other.wait_until(lambda: not self.parts(), "the parts are freed", 60)


if __name__ == "__main__":
    cases.main()
