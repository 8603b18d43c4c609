"""Names with several addresses, of which not all answer."""

import pathlib
import shutil
import subprocess
import unittest

from support.cluster import Machine
from support.network import Network
from support.node import Node

NAME = "several.test"


class Addresses(unittest.TestCase):
    def test_an_address_that_says_nothing_does_not_hide_the_next_one(self):
        with Network(3) as network:
            client, silent, answering = 0, 1, 2
            network.drop(silent, client)
            names = pathlib.Path("/etc/netns") / network.name(client)
            names.mkdir(parents=True)
            self.addCleanup(shutil.rmtree, names)
            (names / "hosts").write_text("".join(
                f"{network.address(index)} {NAME}\n" for index in (silent, answering)))
            with Machine(network, answering, {"OLLAMA_ORIGINS": "*"}):
                asking = Node({"OLLAMA_HOST": f"{NAME}:11434"})
                asking.command = lambda line: network.command(client, line)
                listed = asking.cli("list")
                self.assertTrue(listed.stdout.startswith("NAME"), listed.stdout)
                shutil.rmtree(asking.folder)

    def test_who_may_look_after_a_node(self):
        """Processes of its machine, whatever address of it they ask; no page that a foreign name
        leads to it, and nobody from outside."""
        with Network(1) as network:
            here = f"{network.address(0)}:11434"
            with Machine(network, 0, {"OLLAMA_HOST": here}) as node:
                node.cli("cluster", "init", environment={"OLLAMA_HOST": here})
                self.assertIn("own machine", node.refused(403, "/api/v1/cluster", None, "GET"))
                self.assertIn("own machine", node.refused(403, "/api/v1/backends", None, "GET"))
                for host, status in ((here, 200), ("localhost", 200), ("evil.example", 403)):
                    for path in ("/api/v1/cluster", "/api/v1/backends"):
                        asked = subprocess.run(node.command(
                            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                             f"Host: {host}", f"http://{here}{path}"]),
                            capture_output=True, text=True, timeout=60)
                        self.assertEqual(asked.stdout, str(status), (host, path))
                # Of a proxy on the node's machine, whoever it serves.
                for mark in ("Forwarded: for=203.0.113.5", "X-Forwarded-For: 203.0.113.5",
                             "X-Real-IP: 203.0.113.5", "Via: 1.1 proxy"):
                    for path in ("/api/v1/cluster", "/api/v1/backends"):
                        asked = subprocess.run(node.command(
                            ["curl", "-s", "-H", "Host: localhost", "-H", mark,
                             f"http://{here}{path}"]),
                            capture_output=True, text=True, timeout=60)
                        self.assertIn("own machine", asked.stdout, (mark, path))
