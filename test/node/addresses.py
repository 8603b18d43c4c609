"""Names with several addresses, of which not all answer."""

import pathlib
import shutil
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
