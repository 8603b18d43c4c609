"""One real node for all tests of a class."""

import unittest

from .node import Node


class NodeCase(unittest.TestCase):
    """Tests that share one node and leave it whole. prepare() makes what all of them need."""

    models = ("smollm2:135m",)

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.node.start()
        for name in cls.models:
            cls.node.create(name)
        cls.prepare()

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.node.__exit__(None, None, None)
