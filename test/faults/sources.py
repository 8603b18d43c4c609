"""Row 14: registries and other nodes that send wrong, short, endless or slow bytes."""

import hashlib
import pathlib
import subprocess
import sys
import time
import unittest
from concurrent import futures

from hostile_registry import HostileRegistry
from load import ANSWER, MODEL

from support.cluster import Cluster
from support.node import Node

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "registry"))
import gguf  # noqa: E402

WEIGHT_BYTES = 6 << 20
# How a registry treats those who ask, and what the one who pulls is told in the end.
WAYS = {
    "wrong": "digest mismatch, file must be downloaded again",
    "shorter": "where the manifest says",
    "cut off": "the connection closed",
    "endless": "digest mismatch",
    "endless range": "digest mismatch",
    "endless manifest": "the response is larger than",
    "slow": "no data from 127.0.0.1",
    "silent": "no data from 127.0.0.1",
}
SILENT = ("slow", "silent")
SILENCE_SECONDS = 30
# A machine that does other things, too, is as much later at most. Six tries that each wait for the
# next byte would be 53 s later.
BUSY_SECONDS = 45


def file_digest(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def blob(node, digest):
    return node.folder / "models/blobs" / digest.replace(":", "-")


def largest_blob(node):
    blobs = (node.folder / "models/blobs").iterdir()
    return max(blobs, key=lambda path: path.stat().st_size).name.replace("sha256-", "sha256:")


def has_sound(node, digest):
    return blob(node, digest).exists() and file_digest(blob(node, digest)) == digest


class BadRegistry(unittest.TestCase):
    def weights(self, _):
        path = self.node.folder / "weights"
        gguf.make(path, WEIGHT_BYTES)
        return path.read_bytes()

    def pull(self, name):
        """The last line, and how long it took."""
        begin, last = time.monotonic(), {}
        for last in self.node.stream("/api/pull", {"model": name, "insecure": True}):
            pass
        return last, time.monotonic() - begin

    def test_row_14_bad_bytes_of_a_registry_are_not_kept(self):
        with Node() as self.node, HostileRegistry(WAYS, self.weights) as registry:
            with futures.ThreadPoolExecutor(len(WAYS)) as pool:
                pulls = {way: pool.submit(self.pull, registry.name(way)) for way in WAYS}
            for way, words in WAYS.items():
                last, seconds = pulls[way].result()
                repository = registry.repository(way)
                self.assertIn(words, last.get("error", str(last)), way)
                self.assertFalse(blob(self.node, repository.digest).exists(), way)
                # Nothing that is new came after the first moment. Six tries or half a minute.
                self.assertLess(seconds, SILENCE_SECONDS + BUSY_SECONDS, way)
                self.assertLess(repository.sent, 6 * WEIGHT_BYTES, way)
                print(f"  row 14, {way}: {seconds:.0f} s: {last['error'][:60]}", flush=True)
            self.assertEqual(self.node.names(), [])
            self.assertLess(sum(path.stat().st_size for path in (self.node.folder / "models").rglob(
                "*") if path.is_file()), (len(WAYS) + 1) * WEIGHT_BYTES)
            for way in WAYS:  # From one that means well it comes, whatever was there of it.
                repository = registry.repository(way)
                repository.way = "honest"
                self.assertEqual(self.pull(registry.name(way))[0], {"status": "success"}, way)
                self.assertEqual(file_digest(blob(self.node, repository.digest)),
                                 repository.digest, way)


class BadPeers(unittest.TestCase):
    def test_row_14_bad_and_slow_nodes_are_passed_over(self):
        with Cluster(4) as cluster:
            cluster.form()
            first = cluster.nodes[0]
            first.create(MODEL)
            digest = largest_blob(first)

            def holders():
                return [node for node in cluster.nodes if blob(node, digest).exists()]
            first.cli("replicas", "set", MODEL, "--factor", "3")
            rotten, slow, _ = first.wait_until(lambda: len(holders()) == 3 and holders(), "copies")
            asker, = [node for node in cluster.nodes if node not in holders()]
            self.rot(blob(rotten, digest))
            self.assertNotEqual(file_digest(blob(rotten, digest)), digest)
            subprocess.run(slow.command(["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate",
                                         "160kbit", "burst", "16kb", "latency", "400ms"]),
                           check=True)
            asker.cli("replicas", "set", MODEL, "--factor", "4")
            # Minutes, if it waited for a chunk that it asked of the slow one.
            asker.wait_until(blob(asker, digest).exists, "it has its copy")
            self.assertEqual(file_digest(blob(asker, digest)), digest)
            reply = asker.post("/api/generate", ANSWER)
            self.assertEqual(reply["eval_count"], ANSWER["options"]["num_predict"])
            # Whose bytes were wrong was told so, and gets what is right from the others.
            rotten.wait_until(lambda: has_sound(rotten, digest), "it is mended", 240)

    def test_row_14_a_model_whose_file_rotted_answers_from_another_node_and_is_mended(self):
        with Cluster(2) as cluster:
            cluster.form()
            first, second = cluster.nodes
            first.create(MODEL)
            first.cli("replicas", "set", MODEL, "--factor", "2")
            digest = largest_blob(first)
            first.wait_until(blob(second, digest).exists, "a copy")
            self.rot(blob(first, digest))
            for node in (first, second, first):
                reply = node.post("/api/generate", ANSWER)
                self.assertEqual(reply["eval_count"], ANSWER["options"]["num_predict"])
            first.wait_until(lambda: has_sound(first, digest), "it is mended", 120)

    @staticmethod
    def rot(path):
        """A byte in each of its blocks."""
        with open(path, "r+b") as file:
            for at in range(0, path.stat().st_size, 1 << 20):
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1]))
