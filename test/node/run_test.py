#!/usr/bin/env python3
"""A real node with a real model: what users count on when things go wrong."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.memory_limit import MemoryLimit  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.node import CACHE, HttpError, Node  # noqa: E402
from support.node_case import NodeCase  # noqa: E402
from addresses import Addresses  # noqa: E402, F401 (its cases run here)

MODEL = "smollm2:135m"
LLAMA = pathlib.Path(os.environ.get("OLLAMAMAX_LLAMA_DIR", CACHE / "llama/current")) / "bin"
CARD = ('{"name":"CUDA0","description":"Test Card","type":"gpu",'
        '"total":8589934592,"free":8000000000}')
LONG = {"model": MODEL, "prompt": "Write a very long story about a fox and a river.",
        "options": {"num_predict": 300, "temperature": 0, "seed": 1}}
# Its format wants more tokens than anybody waits for: it cannot end early.
ENDLESS = {**LONG, "format": {"type": "array", "items": {"type": "boolean"}, "minItems": 2000},
           "options": {**LONG["options"], "num_predict": -1}}


def ticks(pid):
    """Processor time that a process has used, in hundredths of a second."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def seconds_until_idle(pid):
    """Until a process did nothing worth mentioning for a whole second. One that generates uses a
    third of a core and more, also beside compilers."""
    begin = mark = time.monotonic()
    used = ticks(pid)
    while time.monotonic() - mark < 1:
        time.sleep(0.01)
        if ticks(pid) - used > 3:
            mark, used = time.monotonic(), ticks(pid)
        if mark - begin > 60:
            raise AssertionError("the runner works on and on for nobody")
    return mark - begin


class RealNode(NodeCase):
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
        seen, deaths = [], self.node.metric("ollamamax_runner_deaths_total")
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
        self.assertEqual(self.node.metric("ollamamax_runner_deaths_total"), deaths + 1)
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

    def test_keep_alive_zero_unloads(self):
        self.node.post("/api/generate", {"model": MODEL, "prompt": "Hi", "keep_alive": 0,
                                         "options": {"num_predict": 1}})
        # The node learns of its child's end after the kernel does: it is asked first.
        self.node.wait_until(lambda: not self.node.get("/api/ps")["models"], "it is unloaded")
        self.assertEqual(self.node.runners(), [])

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
        for name in ("ollamamax_pool_hits_total", "ollamamax_http_responses_total",
                     "ollamamax_build_info{version=", "ollamamax_cluster_majority 1"):
            self.assertIn(name, metrics)
        revision = self.node.get("/api/version")["revision"]
        self.assertIn(f',revision="{revision}"}} 1\n', metrics)
        self.assertGreater(self.node.metric("ollamamax_disk_free_bytes"), 0)
        memory = self.node.wait_until(
            lambda: self.node.metric("process_resident_memory_bytes"), "it is measured")
        self.assertTrue(5e6 < memory < 1e9, memory)
        descriptors = self.node.metric("process_open_fds")
        self.assertTrue(5 < descriptors < self.node.metric("process_max_fds"), descriptors)
        limits = pathlib.Path(f"/proc/{self.node.process.pid}/limits").read_text()
        soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
        self.assertEqual(soft, hard)
        self.assertEqual(self.node.metric("process_max_fds"), int(soft))
        self.assertLess(abs(self.node.metric("process_start_time_seconds") - time.time()), 3600)
        self.assertNotIn("ollamamax_nodes{", metrics)  # It is in no cluster.


class LeavingClients(unittest.TestCase):
    """The promise is half a second. What it is measured with here is the runner itself: it must
    stop to compute, not only be forgotten."""

    BOUND = 5  # Seconds; the machine may be busy with other things.

    @classmethod
    def setUpClass(cls):
        cls.node = Node({"OLLAMA_NUM_PARALLEL": "1"})
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.node.start()
        cls.node.create(MODEL)

    def setUp(self):
        self.node.post("/api/generate", {"model": MODEL})
        self.runner, = self.node.runners()

    def ask(self, **fields):
        """A connection on which 4000 tokens are asked for: minutes, if nobody stops it."""
        body = json.dumps({**LONG, "options": {**LONG["options"], "num_predict": 4000}, **fields})
        peer = socket.create_connection(("127.0.0.1", self.node.port), timeout=300)
        self.addCleanup(peer.close)
        peer.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode()))
        return peer

    def wait_until_it_works(self, hundredths=20):
        begin = ticks(self.runner)
        self.node.wait_until(lambda: ticks(self.runner) > begin + hundredths, "it computes")

    def left(self):
        """How many requests ended because their client went, not by their last token."""
        found = re.search(r'^ollamamax_requests_total{route="/api/generate",status="499"} (\d+)$',
                          self.node.get("/metrics"), re.M)
        return int(found[1]) if found else 0

    def check(self, leave, how):
        """The client leaves while the runner computes for it."""
        before, tokens = self.left(), self.node.metric("ollamamax_output_tokens_total")
        leave()
        seconds = seconds_until_idle(self.runner)
        print(f"{how}: the runner was idle {seconds:.2f} s after its client had left", flush=True)
        self.assertLess(seconds, self.BOUND)
        self.assertEqual(self.left(), before + 1, "the answer was over before the client left")
        # What was made for nobody is counted all the same.
        self.assertGreater(self.node.metric("ollamamax_output_tokens_total"), tokens)
        # Its only slot is free again, and it was not ended for that.
        again = self.node.post("/api/generate", {**LONG, "options": {"num_predict": 2}})
        self.assertEqual(again["eval_count"], 2)
        self.assertEqual(self.node.runners(), [self.runner])

    def test_one_that_vanishes_in_mid_stream_stops_the_runner(self):
        peer = self.ask()
        seen = b""
        while seen.count(b'"response"') < 20:
            seen += peer.recv(65536)
        self.wait_until_it_works()
        self.check(peer.close, "in mid-stream, with unread tokens")  # So the kernel sends a reset.

    def test_one_that_only_says_that_it_goes_stops_the_runner(self):
        peer = self.ask()
        with peer.makefile("rb") as lines:
            while b'"response"' not in lines.readline():
                pass
        self.wait_until_it_works()
        self.check(lambda: peer.shutdown(socket.SHUT_RDWR), "in mid-stream, in good order")

    def test_one_that_waits_for_the_whole_answer_stops_the_runner(self):
        peer = self.ask(stream=False)
        self.node.wait_until(
            lambda: "ollamamax_requests_running 1\n" in self.node.get("/metrics"), "it runs")
        # Long enough for some tokens, also where threads wait for each other most of the time.
        self.wait_until_it_works(600)
        self.check(peer.close, "before a whole answer")


class NodeLife(unittest.TestCase):
    def test_says_that_it_leaves_before_it_refuses(self):
        """So that who balances load looks away in time."""
        with Node({"OLLAMAMAX_SHUTDOWN_DELAY": "10s"}) as node:
            node.process.send_signal(signal.SIGTERM)
            node.wait_until(lambda: "serving on" in node.log(), "it noticed")
            with self.assertRaises(HttpError) as caught:
                node.get("/readyz")
            self.assertEqual(caught.exception.status, 503)
            node.get("/api/version")
            node.process.send_signal(signal.SIGTERM)  # Does not wait any longer.
            self.assertNotEqual(node.process.wait(60), None)

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

    def test_a_pinned_model_is_loaded_again_without_a_request(self):
        with Node() as node:
            node.create(MODEL)

            def pins():
                return node.get("/api/v1/pin")["pins"]

            def is_loaded():
                return pins() and pins()[0]["state"] == "loaded"
            node.post("/api/v1/pin", {"model": MODEL})
            node.wait_until(is_loaded, "what is pinned is loaded")
            for number in (signal.SIGKILL, signal.SIGTERM):
                node.stop(number)
                node.wait_until(lambda: not node.runners(), "the runner is gone too")
                node.start()
                node.wait_until(is_loaded, "it is back")
                self.assertGreater(node.get("/api/ps")["models"][0]["expires_at"], "2100")
            old, = node.runners()
            os.kill(old, signal.SIGKILL)
            node.wait_until(lambda: node.runners() not in ([], [old]) and is_loaded(),
                            "it is back after its runner's death")
            # One that cannot be loaded keeps nobody waiting, and says why.
            weights = max((node.folder / "models" / "blobs").iterdir(),
                          key=lambda path: path.stat().st_size)
            node.stop(signal.SIGKILL)
            weights.rename(node.folder / "weights")
            node.start()
            node.wait_until(lambda: pins()[0].get("error"), "the reason is told")
            (node.folder / "weights").rename(weights)
            node.wait_until(is_loaded, "it is tried again")
            node.cli("stop", MODEL)
            node.wait_until(lambda: pins() == [], "who unloads it ends its pin")

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

    def test_sigterm_ends_a_node_that_is_about_to_start_anew(self):
        with Node({"OLLAMAMAX_DRAIN_TIME": "10m",
                   "OLLAMAMAX_CLUSTER_LISTEN": f"127.0.0.1:{free_port()}"}) as node:
            node.create(MODEL)
            ask = {**ENDLESS, "options": {**ENDLESS["options"], "num_predict": 1200}}
            with node.request("POST", "/api/generate", {"stream": True, **ask}) as reply:
                reply.readline()
                # It waits until the node is back, which it shall not be.
                asking = subprocess.Popen([node.program, "cluster", "init"], env=node.environment,
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                node.wait_until(lambda: "draining" in node.log(), "it lets the answer end")
                node.process.send_signal(signal.SIGTERM)
                lines = reply.read().splitlines()
            self.assertTrue(json.loads(lines[-1])["done"])
            self.assertEqual(node.process.wait(300), 0)
            asking.kill()
            asking.wait()
            self.assertNotIn("starting anew", node.log())

    def test_a_full_queue_is_refused_in_ollamas_words(self):
        with Node({"OLLAMA_NUM_PARALLEL": "1", "OLLAMA_MAX_QUEUE": "1"}) as node:
            node.create(MODEL)
            short = {**LONG, "options": {"num_predict": 2}}
            answered = []
            waiting = threading.Thread(
                target=lambda: answered.append(node.post("/api/generate", short)))
            running = node.request("POST", "/api/generate", {"stream": True, **ENDLESS})
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
            self.assertEqual(node.metric('ollamamax_queue_refused_total{reason="full"}'), 1)
            self.assertTrue(answered[0]["done"])

    def test_headers_say_who_waits_and_for_how_long(self):
        with Node({"OLLAMA_NUM_PARALLEL": "1"}) as node:
            node.create(MODEL)
            short = {**LONG, "options": {"num_predict": 2}}
            order = []

            def ask(name, headers):
                reply = node.post("/api/generate", short, headers=headers)
                order.append((reply["created_at"].rstrip("Z"), name))
            clients = [threading.Thread(target=ask, args=case) for case in [
                ("batch", {"X-Priority": "batch"}), ("first", {"X-Api-Key": "greedy"}),
                ("second", {"X-Api-Key": "greedy"}), ("modest", {"X-Api-Key": "modest"})]]
            running = node.request("POST", "/api/generate", {"stream": True, **ENDLESS})
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
            self.assertEqual([name for _, name in sorted(order)],
                             ["first", "modest", "second", "batch"])
            self.expect_counted(node, "modest", short)

    def expect_counted(self, node, key, body):
        """The tokens of one such request, by which its key's owner is billed."""
        kind = f'{{key="{hashlib.sha256(key.encode()).hexdigest()[:16]}",kind="%s"}}'
        reply = node.post("/api/generate", body)  # With no key: of the same size.
        for name, count in (("prompt", reply["prompt_eval_count"]), ("output", 2)):
            self.assertEqual(node.metric("ollamamax_key_tokens_total" + kind % name), count)

    def test_memory_that_another_program_took_is_not_lent(self):
        limit = MemoryLimit("busy", 1 << 30)
        self.addCleanup(limit.remove)
        node = Node()
        node.command = limit.command
        with node:
            node.create(MODEL)
            taken = limit.command([sys.executable, "-c", "import sys; block = b'x' * (800 << 20);"
                                   "print('taken', flush=True); sys.stdin.read()"])
            with subprocess.Popen(taken, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
                self.assertEqual(other.stdout.readline(), b"taken\n")
                self.wait_for_memory(node, lambda lent: lent < 200 << 20)
                with self.assertRaises(HttpError) as refusal:
                    node.post("/api/generate", {"model": MODEL})
                self.assertEqual(refusal.exception.status, 500)
                self.assertIn("of memory", refusal.exception.text)
                self.assertEqual(node.runners(), [])
            self.wait_for_memory(node, lambda lent: lent > 600 << 20)
            node.post("/api/generate", {"model": MODEL})
            self.assertEqual(limit.killed(), 0)

    def wait_for_memory(self, node, condition):
        node.wait_until(lambda: condition(node.metric("ollamamax_models_memory_bytes")),
                        "what models may take has followed")

    def test_cards_that_are_not_there_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            cards = pathlib.Path(folder) / "cards"
            for name, text in {"ggml-devices": f"cat {cards}",
                               "llama-server": f'exec {LLAMA}/llama-server "$@"'}.items():
                program = pathlib.Path(folder) / name
                program.write_text(f"#!/bin/sh\n{text}\n")
                program.chmod(0o755)
            cards.write_text(CARD + "\n" + CARD.replace("CUDA0", "CUDA1") + "\n")
            with Node({"OLLAMAMAX_LLAMA_DIR": folder}) as node:
                self.assertEqual(node.metric("ollamamax_graphics_cards"), 2)
                node.create(MODEL)
                cards.write_text(CARD + "\n")
                time.sleep(10)  # They were just looked at.
                node.post("/api/generate", {"model": MODEL})
                node.wait_until(lambda: node.metric("ollamamax_graphics_cards") == 1,
                                "the cards were looked at")
                self.assertRegex(node.log(), "graphics cards are gone.*before=2.*now=1")
            cards.write_text("")
            with Node({"OLLAMAMAX_LLAMA_DIR": folder}) as node:
                self.assertNotIn("built for graphics cards", node.log())
            (pathlib.Path(folder) / "libggml-cuda.so").touch()
            with Node({"OLLAMAMAX_LLAMA_DIR": folder}) as node:
                self.assertRegex(node.log(), "built for graphics cards, but none was found")

    def test_what_lies_on_a_card_is_told(self):
        # A card that is not there, and a runner that says it uses it.
        told = "load_tensors: CUDA0 model buffer size = 60.00 MiB"
        with tempfile.TemporaryDirectory() as folder:
            programs = {"ggml-devices": f"echo '{CARD}'",
                        "llama-server": f"echo '{told}'; exec {LLAMA}/llama-server \"$@\""}
            for name, text in programs.items():
                program = pathlib.Path(folder) / name
                program.write_text(f"#!/bin/sh\n{text}\n")
                program.chmod(0o755)
            with Node({"OLLAMAMAX_LLAMA_DIR": folder}) as node:
                self.assertRegex(node.log(), "graphics card.*Test Card")
                node.create(MODEL)
                for layers, processor in [(10, r"\d+%/\d+% CPU/GPU"), (-1, "100% GPU")]:
                    node.post("/api/generate", {"model": MODEL, "options": {"num_gpu": layers}})
                    loaded, = node.get("/api/ps")["models"]
                    size = loaded["size"] if layers < 0 else 60 << 20
                    self.assertEqual(loaded["size_vram"], size)
                    self.assertRegex(node.cli("ps").stdout, processor)
                    node.post("/api/generate", {"model": MODEL, "keep_alive": 0})
                    node.wait_until(lambda: not node.get("/api/ps")["models"], "it is unloaded")

    def test_an_address_in_use_is_explained(self):
        with Node() as node:
            second = node.cli("serve", check=False,
                              environment={"OLLAMAMAX_LOG_FORMAT": "json"})
            self.assertEqual(second.returncode, 1)
            self.assertIn("Error: ", second.stderr)
            # Also for those who read the log only.
            lines = [json.loads(line) for line in second.stderr.splitlines() if line[:1] == "{"]
            told = [line["error"] for line in lines if line["level"] == "error"]
            self.assertEqual(len(told), 1, lines)
            self.assertIn("OLLAMA_HOST", told[0])

    def test_the_disk_of_the_state_is_measured_by_itself(self):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as state, \
                Node({"OLLAMAMAX_STATE": state}) as node:
            def tells(name, folder):
                return abs((node.metric(name) or 0) - shutil.disk_usage(folder).free) < 32e6

            # Others write there, too: until both are read at about the same time.
            node.wait_until(lambda: tells("ollamamax_state_disk_free_bytes", state),
                            "the state's disk is measured")
            node.wait_until(lambda: tells("ollamamax_disk_free_bytes", node.folder),
                            "the models' disk is measured")

    def test_what_a_variable_overrules_in_the_file_is_told(self):
        node = Node()
        (node.folder / "config.toml").write_text('[models]\ndirectory = "/nowhere"\n')
        with node:
            self.assertRegex(node.log(), r"level=warn .*key=models\.directory "
                                         r"file=\S*/config\.toml:2 variable=OLLAMA_MODELS")


if __name__ == "__main__":
    cases.main()
