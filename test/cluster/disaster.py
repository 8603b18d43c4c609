"""A cluster that is gone, given up, or begun again."""

import json
import shutil
import time
import unittest

from support.cluster import Cluster
from support.node import HttpError

MODEL = "smollm2:135m"
LONG = {"model": MODEL, "prompt": "Write a very long story about a fox and a river.",
        "options": {"num_predict": 80, "temperature": 0, "seed": 1}}


def make_changed(node, system):
    """A model whose name means another one each time."""
    modelfile = node.folder / "Changed"
    modelfile.write_text(f"FROM {MODEL}\nSYSTEM {system}\n")
    node.cli("create", "changed", "-f", str(modelfile))


class Disaster(unittest.TestCase):
    def assert_not_ready(self, node):
        with self.assertRaises(HttpError) as refusal:
            node.get("/readyz")
        self.assertEqual((refusal.exception.status, refusal.exception.body), (503, "not ready\n"))

    def test_another_node_is_promoted_before_the_only_voter_leaves(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            cluster.form()
            first.create(MODEL)
            refused = first.cli("cluster", "leave", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("cluster promote NODE", refused.stderr)
            first.cli("cluster", "promote", "n2")
            cluster.wait_for_voters(2)
            again = first.cli("cluster", "promote", "n2", check=False)
            self.assertIn("a voter already", again.stderr)
            first.cli("cluster", "leave", "--force")  # Whether or not its model was copied yet.
            second.wait_until(lambda: [(node["name"], node["voter"]) for node in
                                       second.status()["nodes"]] == [("n2", True)], "n2 alone")
            second.post("/api/copy", {"source": MODEL, "destination": "other"})
            self.assertIn("other:latest", second.names())

    def test_a_backup_brings_back_the_facts_of_a_cluster_that_is_gone(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            cluster.form()
            second.create(MODEL)
            first.post("/api/copy", {"source": MODEL, "destination": "other"})
            first.cli("replicas", "set", MODEL, "--factor", "1", "--min", "1")
            make_changed(second, "one")
            path = second.folder / "backup"
            told = first.cli("cluster", "backup", str(path), "--json").stdout
            self.assertEqual(json.loads(told), {"status": "success"})
            make_changed(second, "two")
            for node in cluster.nodes:  # Their models stay, all that they knew of a cluster goes.
                node.kill()
                shutil.rmtree(node.environment["OLLAMAMAX_STATE"])
                node.start()
                self.assertFalse(node.status()["in_cluster"])
            second.begin_cluster()
            told = second.cli("cluster", "restore", str(path))
            self.assertRegex(told.stdout, r"[1-9]\d* facts are back\n.*stay as they are: changed:")
            cluster.let_in(first, second)
            for node in cluster.nodes:
                node.wait_until(lambda node=node: {MODEL, "other:latest"} <= set(node.names()),
                                "both models are known")

            def policies():
                models = json.loads(first.cli("replicas", "--json").stdout)["models"]
                return {model["name"]: (model["policy"]["factor"], model["policy"]["minimum"])
                        for model in models}
            first.wait_until(lambda: policies().get(MODEL) == (1, 1), "its policy is known")
            self.assertEqual(first.post("/api/show", {"model": "changed"})["system"], "two")
            for model in (MODEL, "changed"):
                reply = first.post("/api/generate", {**LONG, "model": model,
                                                     "options": {"num_predict": 2}})
                self.assertEqual(reply["eval_count"], 2)

    def test_what_a_node_did_by_itself_counts_when_it_begins_a_cluster_again(self):
        with Cluster(1, {0: {"OLLAMAMAX_CLUSTER_REQUIRED": "true"}}) as cluster:
            node = cluster.nodes[0]
            self.assert_not_ready(node)
            cluster.form()
            self.assertEqual(node.get("/readyz"), "ok\n")
            node.create(MODEL)
            make_changed(node, "one")
            node.post("/api/copy", {"source": MODEL, "destination": "other"})
            node.wait_until(lambda: {"changed:latest", "other:latest"} <= set(node.names()), "all")
            node.request("DELETE", "/api/delete", {"model": "other"}).close()
            node.cli("cluster", "leave")
            self.assert_not_ready(node)
            make_changed(node, "two")
            node.post("/api/copy", {"source": MODEL, "destination": "other"})
            node.begin_cluster()
            time.sleep(12)  # It looks after its copies every five seconds.
            self.assertEqual(node.post("/api/show", {"model": "changed"})["system"], "two")
            self.assertIn("other:latest", node.names())
