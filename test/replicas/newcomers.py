"""Machines that join with models of their own."""

import json
import unittest

from support.cluster import Machine
from support.network import Network

MODEL, SMALL = "smollm2:135m", "all-minilm"


class Newcomers(unittest.TestCase):
    def test_two_models_of_one_name_are_both_kept(self):
        with Network(2) as network, Machine(network, 0) as first, Machine(network, 1) as second:
            for node, source in ((first, MODEL), (second, SMALL)):
                node.create(source)
                node.cli("cp", source, "mine")
                node.cli("rm", source)
            token = json.loads(first.cli("cluster", "init", "--json").stdout)["token"]
            first.wait_until(lambda: "starting anew" in first.log() and first.answers(),
                             "the cluster has begun")
            second.cli("cluster", "join", token)
            names = {"mine:latest", "mine:latest-n2"}
            for node in (first, second):
                node.wait_until(lambda: node.answers() and set(node.names()) == names,
                                "both are listed")
            families = {model["name"]: model["details"]["family"]
                        for model in first.get("/api/tags")["models"]}
            self.assertEqual(families, {"mine:latest": "llama", "mine:latest-n2": "bert"})
            vector = first.post("/api/embed", {"model": "mine:latest-n2", "input": "hi"})
            self.assertEqual(len(vector["embeddings"][0]), 384)
