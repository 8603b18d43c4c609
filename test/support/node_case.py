"""One real node for all tests of a class."""

import unittest

from .node import Node


class NodeCase(unittest.TestCase):
    """Tests that share one node and leave it whole. prepare() makes what all of them need."""

    models = ("smollm2:135m",)

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.__exit__, None, None, None)  # Also where what follows fails.
        cls.node.start()
        for name in cls.models:
            cls.node.create(name)
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    def run(self, result=None):
        before = troubles(result)
        result = super().run(result)
        if troubles(result) > before:
            self.node.print_log()
        return result


def troubles(result):
    return len(result.failures) + len(result.errors) if result else 0
