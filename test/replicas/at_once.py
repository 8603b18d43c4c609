"""What one node was just told is so on every other one: whom a balancer asks next need not wait."""

import hashlib

from support.cluster import ClusterCase
from support.node import MODELS

MODEL, SMALL = "smollm2:135m", "all-minilm"


class AtOnce(ClusterCase):
    count = 4

    @classmethod
    def prepare(cls):
        cls.cluster.wait_for_voters()
        cls.cluster.wait_until_ready()
        for node in cls.nodes:
            node.wait_until(lambda node=node: node.status()["majority"], "a majority")

    def test_files_uploaded_to_one_node_make_a_model_on_another(self):
        file = MODELS[SMALL].read_bytes()
        digest = "sha256:" + hashlib.sha256(file).hexdigest()
        with self.nodes[1].request("POST", f"/api/blobs/{digest}", file) as reply:
            self.assertEqual(reply.status, 201)
        with self.nodes[1].request("HEAD", f"/api/blobs/{digest}") as reply:
            self.assertEqual(reply.status, 200)
        made = self.nodes[2].post("/api/create", {"model": "uploaded", "files": {"m.gguf": digest}})
        self.assertEqual(made, {"status": "success"})
        vector = self.nodes[3].post("/api/embed", {"model": "uploaded", "input": "hi"})
        self.assertEqual(len(vector["embeddings"][0]), 384)
        told = self.nodes[2].refused(404, "/api/create", {
            "model": "nothing", "files": {"m.gguf": "sha256:" + "0" * 64}, "stream": False})
        self.assertIn("no such file", told)

    def test_a_model_is_known_everywhere_at_once(self):
        self.nodes[1].create(MODEL)
        self.expect_known(MODEL)
        for number in range(5):
            name = f"again-{number}"
            self.nodes[1].post("/api/copy", {"source": MODEL, "destination": name})
            self.expect_known(name)

    def expect_known(self, name):
        for node in self.nodes[2:]:
            shown = node.post("/api/show", {"model": name})
            self.assertEqual(shown["details"]["family"], "llama", f"{name} on {node.name}")
