#!/usr/bin/env python3
"""Copies of models on four real nodes (network namespaces): policies, losses, fetching on demand,
and the mirror."""

import hashlib
import json
import pathlib
import re
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases  # noqa: E402
from support.cluster import ClusterCase, all_but  # noqa: E402
from support.node import HttpError, MODELS, Node  # noqa: E402
from at_once import AtOnce  # noqa: E402, F401 (its cases run here)
from newcomers import Newcomers  # noqa: E402, F401 (its cases run here)

MODEL = "smollm2:135m"
SMALL = "all-minilm"
SIZE = MODELS[MODEL].stat().st_size
# Slow enough that a copy under way can be seen.
RATE = SIZE // 4
COMMON = {"OLLAMAMAX_CLUSTER_NODE_GRACE": "5s", "OLLAMAMAX_CLUSTER_SURPLUS_GRACE": "5s"}


class RealReplicas(ClusterCase):
    """n1 has the files first and no memory to run them. Each test leaves no model behind."""

    count = 4

    @classmethod
    def setUpClass(cls):
        cls.environments = {
            0: {**COMMON, "OLLAMA_GPU_OVERHEAD": str(all_but(200 << 20)),
                "OLLAMAMAX_CLUSTER_SEND_RATE_MAX": str(RATE)},
            1: COMMON, 2: COMMON, 3: COMMON}
        super().setUpClass()

    def setUp(self):
        self.nodes[0].cli("replicas", "reset")

    def tearDown(self):
        super().tearDown()
        self.cluster.wait_until_ready()
        for name in self.nodes[0].names():
            self.nodes[0].request("DELETE", "/api/delete", {"model": name}).close()
            self.nodes[0].cli("replicas", "reset", name)
        self.until(lambda: not any(node.names() for node in self.nodes), "no models are left")

    def until(self, condition, what):
        return self.nodes[0].wait_until(condition, what)

    def fares(self, name=MODEL, node=None):
        reply = json.loads((node or self.nodes[1]).cli("replicas", "list", "--json").stdout)
        return next((model for model in reply["models"] if model["name"] == name), None)

    def copies(self, name=MODEL, node=None):
        fares = self.fares(name, node)
        return set(fares["copies"]) if fares else set()

    def wait_for_copies(self, count, name=MODEL, node=None):
        return self.until(lambda: len(there := self.copies(name, node)) == count and there,
                          f"{count} copies of {name}")

    @staticmethod
    def held_by(node):
        """The blobs on a node's disk that have the size of MODEL's weights."""
        blobs = pathlib.Path(node.environment["OLLAMA_MODELS"]) / "blobs"
        return [path for path in blobs.glob("sha256-*") if path.stat().st_size == SIZE]

    def by_name(self, name):
        return next(node for node in self.nodes if node.name == name)

    def test_policies_set_how_many_copies_there_are_and_where(self):
        self.nodes[1].create(SMALL)
        name = SMALL + ":latest"
        self.assertIn("n2", self.wait_for_copies(2, name))
        self.nodes[2].cli("replicas", "set", SMALL, "--factor", "4", "--min", "2")
        self.wait_for_copies(4, name)
        self.until(lambda: (f := self.fares(name)) and (
            f["state"], f["minimum"], f["own_policy"]) == ("ok", 2, True), "n2 knows the policy")
        row = r"all-minilm:latest +ok +4/4 +\d+ MB +n1, n2, n3, n4 +4 \(min 2\)"
        self.until(lambda: re.search(row, self.nodes[3].cli("replicas").stdout), "n4 tells of them")
        table = self.nodes[3].cli("replicas").stdout
        self.assertIn("1 of 1 models have the copies they should have", table)
        self.assertIn("default policy: 2 (min 1)", table)
        self.nodes[2].cli("replicas", "set", "--factor", "1", "--min", "1", "--pin", "n3,n4", SMALL)
        self.until(lambda: self.copies(name) == {"n3", "n4"}, "the pinned copies alone are left")
        self.until(lambda: re.search(
            r"all-minilm:latest +n3 +there", self.nodes[0].cli("replicas", "status", SMALL).stdout),
            "n1 tells where they are")
        self.nodes[1].cli("replicas", "set", "--factor", "1")  # Of all without one of their own.
        self.nodes[2].cli("replicas", "reset", SMALL)
        self.wait_for_copies(1, name)
        self.until(lambda: not self.fares(name)["own_policy"], "it has no policy of its own")
        wrong = self.nodes[1].cli("replicas", "set", SMALL, "--factor", "0", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("factor must be 1 to 1000", wrong.stderr)

    def test_copies_of_a_lost_node_are_restored_and_the_surplus_removed_when_it_returns(self):
        self.nodes[1].create(SMALL)
        name = SMALL + ":latest"
        there = self.wait_for_copies(2, name)
        lost = self.by_name(next(node for node in there if node != "n1" and node != "n2")
                            if len(there - {"n1", "n2"}) else "n2")
        others = [node for node in self.nodes if node is not lost]
        # Each node hears of it for itself; who dies before it was heard is not missed.
        self.until(lambda: lost.name in self.copies(name, others[0]), f"{others[0].name} knows it")
        lost.kill()
        missing = "ollamamax_models_under_replicated"
        self.until(lambda: others[0].metric(missing) == 1, "the copy is missed")
        self.until(lambda: len(self.copies(name, others[0])) == 2 and
                   lost.name not in self.copies(name, others[0]), "two other nodes have it")
        self.assertEqual(self.fares(name, others[0])["unreachable"], [lost.name])
        lost.start()
        self.cluster.wait_until_ready()
        self.until(lambda: lost.name in self.copies(name, others[0]), "its copy counts again")
        self.wait_for_copies(2, name, others[0])
        for node in self.nodes:
            self.assertEqual(node.metric("ollamamax_models_lost"), 0)
            self.until(lambda node=node: node.metric(missing) == 0, "no copy is missed any more")
        restored = sum(node.metric("ollamamax_replicas_fetched_total") for node in others)
        self.assertGreaterEqual(restored, 1)

    def test_a_copy_that_rotted_is_not_given_on(self):
        self.nodes[1].create(MODEL)
        there = self.wait_for_copies(2)
        rotten = self.by_name(next(name for name in there if name != "n2"))
        with self.held_by(rotten)[0].open("r+b") as file:
            file.seek(SIZE // 2)
            good = file.read(4096)
            file.seek(SIZE // 2)
            file.write(bytes(byte ^ 0xff for byte in good))
        # Only the rotten one is there to be asked; then the one that made it comes back.
        self.cluster.wait_for_voters()
        self.nodes[1].stop()
        self.until(lambda: rotten.cli("replicas", "set", MODEL, "--factor", "3",
                                      check=False).returncode == 0, "a majority is left")
        self.until(lambda: rotten.metric("ollamamax_rotten_blobs_total") == 1,
                   "it was told, and looked")
        self.nodes[1].start()
        self.cluster.wait_until_ready()
        self.wait_for_copies(3)
        wanted = hashlib.sha256(MODELS[MODEL].read_bytes()).hexdigest()
        for node in self.nodes:
            for path in self.held_by(node):
                self.assertEqual(path.name, "sha256-" + wanted)
                self.assertEqual(hashlib.sha256(path.read_bytes()).hexdigest(), wanted)

    def test_the_last_copy_goes_only_by_force(self):
        self.nodes[0].cli("replicas", "set", "--factor", "1")
        self.nodes[2].create(SMALL)
        name = SMALL + ":latest"
        self.assertEqual(self.wait_for_copies(1, name), {"n3"})
        refused = self.nodes[2].cli("replicas", "remove", SMALL, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("0 of 1 copies", refused.stderr)
        self.assertEqual(self.copies(name), {"n3"})
        self.nodes[2].cli("replicas", "remove", SMALL, "--force")
        self.until(lambda: self.fares(name)["state"] == "lost", "the copy is gone")
        self.until(lambda: self.nodes[1].metric("ollamamax_models_lost") == 1, "it is told")

    def test_a_deleted_model_is_deleted_everywhere_and_comes_back_only_when_made_again(self):
        name = SMALL + ":latest"
        self.nodes[0].cli("replicas", "set", "--factor", "4")
        self.nodes[1].create(SMALL)
        self.wait_for_copies(4, name)
        away = self.nodes[3]
        away.kill()
        self.nodes[2].request("DELETE", "/api/delete", {"model": SMALL}).close()
        for node in self.nodes[:3]:
            self.until(lambda node=node: not node.names(), "it is deleted")
            manifests = pathlib.Path(node.environment["OLLAMA_MODELS"]) / "manifests"
            self.until(lambda manifests=manifests: not [
                path for path in manifests.rglob("*") if path.is_file()], "no manifest is left")
        seen = len(away.log())
        away.start()  # Its disk still has the model: it must not bring it back.
        self.cluster.wait_until_ready()
        self.until(lambda: "removed as in the catalogue" in away.log()[seen:], "it follows")
        self.until(lambda: not any(node.names() for node in self.nodes), "nobody has it")
        self.nodes[2].create(SMALL)  # The very same bytes again.
        self.assertEqual(self.wait_for_copies(4, name), {"n1", "n2", "n3", "n4"})

    def test_a_node_without_the_files_fetches_them_for_the_request_that_waits(self):
        self.nodes[0].cli("replicas", "set", "--factor", "1", "--popular-extra", "0")
        self.nodes[0].create(MODEL)
        self.assertEqual(self.wait_for_copies(1), {"n1"})  # Which has no memory to run it.
        seen = []

        def is_done():
            status = self.nodes[3].cli("replicas", "status", MODEL).stdout
            seen.extend(re.findall(r"(n\d) +(\d+)% of", status))
            return not thread.is_alive()
        replies = []
        body = {"model": MODEL, "prompt": "Hi", "options": {"num_predict": 4}}
        thread = threading.Thread(target=lambda: replies.append(
            self.nodes[0].post("/api/generate", body)))
        begun = time.monotonic()
        thread.start()
        self.until(is_done, "the answer is there")
        thread.join()
        self.assertGreater(time.monotonic() - begun, SIZE / RATE - 1)
        self.assertEqual(replies[0]["eval_count"], 4)
        self.assertTrue(seen, "no progress was told")
        fetched = [node for node in self.nodes[1:]
                   if node.metric("ollamamax_replicas_on_demand_total")]
        self.assertEqual(len(fetched), 1)
        self.assertIn(seen[0][0], fetched[0].name)

    def test_the_mirror_gives_from_any_node_what_only_another_one_has(self):
        self.nodes[0].cli("replicas", "set", "--factor", "1", "--popular-extra", "0")
        self.nodes[2].create(MODEL)
        self.assertEqual(self.wait_for_copies(1), {"n3"})
        gateway = self.nodes[3]
        self.assertFalse(self.held_by(gateway))
        base = gateway.url + "/v2/library/smollm2"
        with urllib.request.urlopen(base + "/manifests/135m", timeout=300) as reply:
            manifest = json.loads(reply.read())
        weights = next(layer for layer in manifest["layers"]
                       if layer["mediaType"].endswith("image.model"))
        blob = f"{base}/blobs/{weights['digest']}"
        whole = MODELS[MODEL].read_bytes()
        ranged = urllib.request.Request(blob, headers={"Range": "bytes=1000-200999"})
        with urllib.request.urlopen(ranged, timeout=300) as reply:
            self.assertEqual(reply.status, 206)
            self.assertEqual(reply.headers["Content-Range"], f"bytes 1000-200999/{SIZE}")
            self.assertEqual(reply.read(), whole[1000:201000])
        head = urllib.request.Request(blob, method="HEAD")
        with urllib.request.urlopen(head, timeout=300) as reply:
            self.assertEqual(int(reply.headers["Content-Length"]), SIZE)
        with urllib.request.urlopen(blob, timeout=300) as reply:
            digest = hashlib.sha256(reply.read()).hexdigest()
        self.assertEqual("sha256:" + digest, weights["digest"])
        with self.assertRaises(urllib.error.HTTPError) as unknown:
            urllib.request.urlopen(f"{base}/blobs/sha256:{'0' * 64}", timeout=300)
        self.assertEqual(unknown.exception.code, 404)
        # A machine that is in no cluster pulls from it.
        with Node() as alone:
            alone.cli("pull", f"{gateway.host}/library/{MODEL}", "--insecure")
            reply = alone.post("/api/generate", {
                "model": f"{gateway.host}/library/{MODEL}", "prompt": "Hi",
                "options": {"num_predict": 2}})
            self.assertEqual(reply["eval_count"], 2)
        self.assertFalse(self.held_by(gateway))
        self.assertGreater(gateway.metric("ollamamax_relayed_bytes_total"), 2 * SIZE)


class Alone(unittest.TestCase):
    def test_a_node_in_no_cluster_says_so(self):
        with Node() as node:
            with self.assertRaises(HttpError) as refused:
                node.get("/api/v1/replicas")
            self.assertIn("not in a cluster", refused.exception.text)
            self.assertEqual(node.cli("replicas", check=False).returncode, 1)


if __name__ == "__main__":
    cases.main()
