"""A node with other servers that answer for it."""

import unittest

from support.node import Node
from upstream import Upstream

MODEL = "smollm2:135m"
KEY = "sk-very-secret-1234567890"
CHAT = {"messages": [{"role": "user", "content": "Say hello."}],
        "options": {"num_predict": 12, "temperature": 0, "seed": 1}}


def text_of(lines):
    return "".join(line.get("message", {}).get("content", "") for line in lines)


class Federation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.node.start()

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()

    def setUp(self):
        self.closing = []
        for backend in self.node.get("/api/v1/backends")["backends"]:
            self.node.cli("backend", "remove", backend["name"])

    def tearDown(self):
        for upstream in self.closing:
            upstream.close()

    def upstream(self, *arguments, name, **options):
        upstream = Upstream(*arguments, **options)
        self.closing.append(upstream)
        extra = ["--key", upstream.key] if upstream.key else []
        self.node.cli("backend", "add", upstream.url, "--name", name, *extra)
        return upstream

    def chat(self, model, **more):
        return self.node.post("/api/chat", {"model": model, **CHAT, **more})

    def header(self, model, name, **more):
        with self.node.request("POST", "/api/chat",
                               {"model": model, "stream": False, **CHAT, **more}) as reply:
            reply.read()
            return reply.headers[name]
