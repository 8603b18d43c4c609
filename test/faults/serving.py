"""Rows 18, 19, 21, 24, 28: runners that die, talk nonsense or are left by their clients."""

import contextlib
import errno
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from concurrent import futures

from base import FULL, ClusterCase, children
from load import ANSWER, MODEL, Load, names_of

from support.cluster import Cluster
from support.node import HttpError, Node

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAKE = pathlib.Path(os.environ.get("OLLAMAMAX", ROOT / "build/release/ollamamax")).with_name(
    "fake_llama_server")
OTHER = "gemma3:270m"
LEAVERS = 10_000 if FULL else 300


class RealRunner(unittest.TestCase):
    def test_rows_18_and_19_a_runner_that_dies_costs_a_pause_and_harms_no_other(self):
        with Node({"OLLAMA_NUM_PARALLEL": "2"}) as node:
            node.create(MODEL)
            node.create(OTHER)
            node.post("/api/generate", {**ANSWER, "options": {"num_predict": 1}})
            unharmed = node.request("POST", "/api/generate", {
                **ANSWER, "model": OTHER, "stream": True,
                "options": {"num_predict": 150, "temperature": 0}})
            unharmed.readline()
            # Before its first token, idle and then with a request: nothing is seen of it.
            for pid in self.runners_of(node, MODEL):
                os.kill(pid, signal.SIGKILL)
            reply = node.post("/api/generate", ANSWER)
            self.assertEqual(reply["eval_count"], ANSWER["options"]["num_predict"])
            retries = node.metric("ollamamax_generation_retries_total")
            sent = node.metric("ollamamax_http_client_requests_total")
            runner, = self.runners_of(node, MODEL)
            os.kill(runner, signal.SIGSTOP)
            with futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(node.post, "/api/generate", ANSWER)
                # Not two that run: the other answer may have ended by now.
                node.wait_until(
                    lambda: node.metric("ollamamax_http_client_requests_total") > sent and
                    node.metric("ollamamax_requests_running") >= 1, "it is in")
                os.kill(runner, signal.SIGKILL)
                self.assertEqual(asked.result()["eval_count"], ANSWER["options"]["num_predict"])
            self.assertEqual(node.metric("ollamamax_generation_retries_total"), retries + 1)
            # In mid-stream: a pause.
            with node.request("POST", "/api/generate", {
                    **ANSWER, "stream": True,
                    "options": {"num_predict": 120, "temperature": 0}}) as stream:
                lines = [json.loads(stream.readline()) for _ in range(5)]
                for pid in self.runners_of(node, MODEL):
                    os.kill(pid, signal.SIGKILL)
                lines += [json.loads(line) for line in stream]
            self.assertEqual(lines[-1].get("eval_count"), 120, lines[-1])
            self.assertEqual(sum(1 for line in lines if line.get("done")), 1)
            rest = [json.loads(line) for line in unharmed]
            self.assertEqual(rest[-1].get("eval_count"), 150, rest[-1])
            self.assertEqual(node.log().count('event="runner died"'), 3)

    @staticmethod
    def runners_of(node, model):
        found = [pid for pid in node.runners() if f"--alias\0{model}\0".encode() in
                 pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
        if not found:
            raise AssertionError(f"{model} has no runner")
        return found

    def test_row_28_sigterm_in_full_work_ends_clean_and_leaves_no_child(self):
        with Node({"OLLAMA_NUM_PARALLEL": "4"}) as node:
            node.create(MODEL)
            streams = [node.request("POST", "/api/generate", {
                **ANSWER, "stream": True, "options": {"num_predict": 60}}) for _ in range(4)]
            for stream in streams:
                stream.readline()
            node.process.send_signal(signal.SIGTERM)
            for stream in streams:
                last = json.loads(stream.read().splitlines()[-1])
                self.assertTrue(last.get("done"), last)
            self.assertEqual(node.process.wait(60), 0)
            self.assertEqual(children(node, "llama-server"), [])


class Nonsense(unittest.TestCase):
    """A runner that does what no llama-server should."""

    def node(self, behaviour):
        node = Node({"OLLAMA_NUM_PARALLEL": "8", "OLLAMA_KEEP_ALIVE": "-1",
                     "OLLAMA_CONTEXT_LENGTH": "512", "FAKE_TOKEN_US": "2000", **behaviour})
        llama = node.folder / "llama"
        llama.mkdir()
        (llama / "llama-server").symlink_to(FAKE)
        node.environment["OLLAMAMAX_LLAMA_DIR"] = str(llama)
        return node

    def last_words(self, node):
        """What a client is told at the end; never nothing."""
        body = {**ANSWER, "stream": True, "raw": True, "options": {"num_predict": 200}}
        try:
            with node.request("POST", "/api/generate", body, timeout=60) as reply:
                lines = reply.read().splitlines()
        except HttpError as error:
            return {"error": error.text}
        except http.client.IncompleteRead as broken:
            lines = broken.partial.splitlines()
        return json.loads(lines[-1])

    def test_row_21_garbage_ends_in_a_clean_error(self):
        for kind in ("garbage", "endless_line", "bad_utf8"):
            with self.subTest(kind), self.node({"FAKE_NONSENSE": kind}) as node:
                node.create(MODEL)
                last = self.last_words(node)
                self.assertIn("error", last)
                self.assertTrue(last["error"])
                self.assertIsNone(node.process.poll())
                self.assertEqual(node.get("/livez").strip(), "ok")

    def test_row_24_clients_that_leave_leave_nothing_behind(self):
        with self.node({}) as node:
            node.create(MODEL)
            body = json.dumps({**ANSWER, "raw": True, "stream": True,
                               "options": {"num_predict": 400}}).encode()
            request = (f"POST /api/generate HTTP/1.1\r\nHost: {node.host}\r\nContent-Type: "
                       f"application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
            self.leave(node, request, 50)  # Pools and caches find their size.
            before = self.footprint(node)
            self.leave(node, request, LEAVERS)
            after = self.footprint(node)
            print(f"  row 24: {LEAVERS} clients left: {before} -> {after}", flush=True)
            self.assertEqual(after["descriptors"], before["descriptors"])
            self.assertEqual(after["threads"], before["threads"])
            self.assertLess(after["kilobytes"], before["kilobytes"] * 1.05 + 2048)
            self.assertTrue(node.post("/api/generate", {
                **ANSWER, "raw": True, "options": {"num_predict": 3}})["done"])

    @staticmethod
    def leave(node, request, count):
        for number in range(count):
            with socket.create_connection(("127.0.0.1", node.port), timeout=300) as client:
                client.sendall(request)
                if number % 3:  # Some leave before the first word.
                    client.recv(300)
        node.wait_until(lambda: node.get("/api/ps")["models"] and
                        node.metric("ollamamax_requests_running") == 0, "all slots are free")

    @staticmethod
    def footprint(node):
        time.sleep(0.5)
        folder = pathlib.Path(f"/proc/{node.process.pid}")
        status = (folder / "status").read_text()
        return {"descriptors": len(list((folder / "fd").iterdir())),
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
                "kilobytes": int(re.search(r"VmRSS:\s+(\d+)", status)[1])}


class Vanished(unittest.TestCase):
    def test_row_24_a_client_whose_machine_vanishes_without_a_word_leaves_its_slot(self):
        # Minutes, if nobody stops it.
        options = {**ANSWER["options"], "num_predict": 40_000}
        body = json.dumps({**ANSWER, "options": options})
        with Cluster(2) as cluster:
            node, away = cluster.nodes
            node.create(MODEL)
            ask = ["curl", "-sN", node.url + "/api/generate", "-d", body]
            with subprocess.Popen(away.command(ask), stdout=subprocess.PIPE) as client:
                client.stdout.readline()
                self.assertEqual(node.metric("ollamamax_requests_running"), 1)
                cluster.network.cut(away.index)
                begin = time.monotonic()
                node.wait_until(lambda: node.metric("ollamamax_requests_running") == 0,
                                "its connection is given up")
                client.kill()
            self.assertIn('{route="/api/generate",status="499"} 1\n', node.get("/metrics"))
            print(f"  row 24: given up after {time.monotonic() - begin:.0f} s", flush=True)


class FailingDisk(unittest.TestCase):
    def test_row_9_what_was_acknowledged_outlives_failing_fsyncs(self):
        with Node() as node:
            node.create(MODEL)
            node.stop()
            kept, refused = set(), 0
            plain, node.command = node.command, self.with_faults
            self.start_at_last(node)
            for number in range(600):  # Until there are some of each.
                if number >= 60 and min(refused, len(kept)) > 5:
                    break
                try:
                    node.post("/api/copy", {"source": MODEL, "destination": f"w-{number}"})
                    kept.add(f"w-{number}")
                except HttpError as error:
                    self.assertGreaterEqual(error.status, 500)
                    refused += 1
            self.assertIsNone(node.process.poll())
            node.stop(signal.SIGKILL)
            node.command = plain
            node.start()
            self.assertLessEqual(kept | {MODEL}, names_of(node))
            self.assertGreater(refused, 5)
            self.assertGreater(len(kept), 5)
            for name in names_of(node):  # Nothing is half there.
                node.post("/api/show", {"model": name})
            print(f"  row 9: {len(kept)} kept, {refused} refused", flush=True)

    def test_row_9_facts_end_the_node_before_they_are_lost(self):
        with Node() as node:
            node.stop()
            plain, node.command = node.command, self.with_faults
            kept, deaths = set(), 0
            while deaths < 3 or len(kept) < 10:
                self.start_at_last(node)
                while node.process.poll() is None:
                    name = f"b-{len(kept)}"
                    try:
                        node.post("/api/v1/backends", {"url": "http://127.0.0.1:1", "name": name})
                        kept.add(name)
                    except (HttpError, OSError):
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            node.process.wait(5)
                self.assertEqual(node.process.wait(), -signal.SIGABRT)
                self.assertIn("fsync failed", node.log())
                deaths += 1
            node.command = plain
            node.start()
            there = {backend["name"] for backend in
                     node.get("/api/v1/backends")["backends"]}
            self.assertLessEqual(kept, there)
            print(f"  row 9: {len(kept)} facts kept over {deaths} deaths", flush=True)

    def start_at_last(self, node):
        """It also ends at once where its facts cannot be opened safely."""
        for _ in range(100):
            with contextlib.suppress(AssertionError):
                node.start()
                return
            self.assertEqual(node.process.returncode, -signal.SIGABRT, node.log()[-2000:])
        raise AssertionError("it never starts")

    @staticmethod
    def with_faults(line):
        return ["fiu-run", "-x", "-c", "enable_random name=posix/io/sync/*,probability=0.1", *line]


def mount(folder, size):
    if os.system(f"mount -t tmpfs -o size={size} tmpfs {folder}") != 0:
        raise AssertionError("a tmpfs cannot be mounted: root is needed")


def fill(disk):
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while True:
            os.write(filler, b"\0" * 4096)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(filler)


class FullDiskOfAVoter(ClusterCase):
    """n2 keeps what it knows of the cluster, its etcd's log too, on a small disk of its own."""

    @classmethod
    def setUpClass(cls):
        cls.disk = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-disk-"))
        mount(cls.disk, "300m")
        cls.environments = {1: {"OLLAMAMAX_STATE": str(cls.disk / "state")}}
        try:
            super().setUpClass()
        except BaseException:
            cls.remove_disk()
            raise

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.remove_disk()

    @classmethod
    def remove_disk(cls):
        os.system(f"umount -l {cls.disk}")
        shutil.rmtree(cls.disk, ignore_errors=True)

    def test_row_16_the_others_go_on_and_it_comes_back(self):
        full, others = self.nodes[1], [self.nodes[0], self.nodes[2]]
        with Load(writers=others, askers=self.nodes) as load:
            fill(self.disk)
            load.wait_for_progress(writes=40, answers=2)
            self.assertIn("No space left", full.log())  # It noticed, and said so.
            (self.disk / "filler").unlink()
            load.wait_for_progress()
        load.check_answers(self)
        load.check_writes(self, self.nodes)
        full.wait_until(lambda: children(full, "etcd"), "its etcd runs")
        full.wait_until(lambda: full.status()["majority"], "it reaches the facts")
        full.post("/api/copy", {"source": MODEL, "destination": "w-again"})
        others[0].wait_until(lambda: "w-again" in names_of(others[0]), "the others know it")
        self.cluster.wait_for_voters()
        print(f"  row 16: {load.figures()}", flush=True)

    def test_row_16_it_starts_on_the_full_disk_and_serves_and_changes(self):
        full, others = self.nodes[1], [self.nodes[0], self.nodes[2]]
        full.stop()
        fill(self.disk)
        full.start()
        self.assertEqual(full.post("/api/generate", ANSWER)["eval_count"],
                         ANSWER["options"]["num_predict"])
        full.wait_until(lambda: full.status()["majority"], "it reaches the facts")
        full.post("/api/copy", {"source": MODEL, "destination": "w-full"})
        others[0].post("/api/copy", {"source": MODEL, "destination": "w-others"})
        for node in self.nodes:
            node.wait_until(lambda node=node: {"w-full", "w-others"} <= set(names_of(node)),
                            "it hears of both")
        # Whether etcd itself runs there depends on the room that was left in its log.
        (self.disk / "filler").unlink()
        full.wait_until(lambda: not self.says_it_is_cut_off(full, full), "its etcd is back")
        self.cluster.wait_for_voters()

    def says_it_is_cut_off(self, node, other):
        seen, = (seen for seen in node.nodes_if_up() if seen["name"] == other.name)
        return not seen["majority"]


class FullDisk(unittest.TestCase):
    def test_row_16_a_full_disk_refuses_changes_and_serves_on(self):
        with Node() as node:
            node.stop()
            disk = node.folder / "disk"
            disk.mkdir()
            mount(disk, "120m")  # The model and little more.
            try:
                node.environment["OLLAMAMAX_STATE"] = str(disk / "state")
                node.environment["OLLAMA_MODELS"] = str(disk / "models")
                node.start()
                node.create(MODEL)
                fill(disk)
                refused = 0
                for number in range(40):
                    try:
                        node.post("/api/copy", {"source": MODEL, "destination": f"w-{number}"})
                    except HttpError as error:
                        self.assertGreaterEqual(error.status, 500)
                        self.assertTrue(error.text)
                        refused += 1
                self.assertEqual(refused, 40)
                self.assertEqual(names_of(node), {MODEL})
                self.assertEqual(node.post("/api/generate", ANSWER)["eval_count"],
                                 ANSWER["options"]["num_predict"])
                (disk / "filler").unlink()
                node.post("/api/copy", {"source": MODEL, "destination": "again"})
                node.stop()
                node.start()
                self.assertEqual(names_of(node), {MODEL, "again"})
            finally:
                node.stop()
                os.system(f"umount -l {disk}")
                shutil.rmtree(disk, ignore_errors=True)

