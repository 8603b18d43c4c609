"""What the tests of create share: a node with the real model, and a look into its store."""

import hashlib
import json
import unittest

from support.node import Node
from support.processes import processes

MODEL = "smollm2:135m"
# Asked so, the model's first words are far from any other choice, however it is quantized. One
# thread waits for no other: that suits a machine that has more to do.
QUESTION = {"messages": [{"role": "user", "content": "Name the capital of France."}],
            "options": {"temperature": 0, "num_predict": 8, "num_ctx": 512, "num_thread": 1}}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class CreateTest(unittest.TestCase):
    """A node with the real model."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        # Also if making the models below fails, which tearDownClass would not see.
        cls.addClassCleanup(cls.node.__exit__, None, None, None)
        cls.node.start()
        cls.store = cls.node.folder / "models"
        cls.node.create(MODEL)

    def create(self, name, modelfile, *arguments, check=True):
        path = self.node.folder / "Modelfile"
        path.write_text(modelfile)
        return self.node.cli("create", name, "-f", str(path), *arguments, check=check)

    def show(self, model, **more):
        return self.node.post("/api/show", {"model": model, **more})

    def answer(self, model):
        return self.node.post("/api/chat", {"model": model, **QUESTION})["message"]["content"]

    def manifest(self, name):
        model, _, tag = name.partition(":")
        path = self.store / "manifests/registry.ollama.ai/library" / model / (tag or "latest")
        return json.loads(path.read_text())

    def layers(self, name):
        """What a model is made of, in order; where a layer came from is no part of that."""
        manifest = self.manifest(name)
        layers = [(layer["mediaType"].rpartition(".")[2], layer["digest"])
                  for layer in manifest["layers"]]
        return [*layers, ("config", manifest["config"]["digest"])]

    def blob(self, digest):
        return self.store / "blobs" / digest.replace(":", "-")

    def weights(self, name):
        return dict(self.layers(name))["model"]

    def partial(self):
        """What work under way has in the store."""
        return [path for path in (self.store / "partial").rglob("*") if path.name != "lock"]

    def files(self):
        """All there is in the store once no work is under way."""
        self.node.wait_until(lambda: not self.partial(), "nothing half done is left")
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*"))

    def children(self, program):
        """Of the node; one that has ended and is not yet collected counts too."""
        return [process.pid for process in processes()
                if process.name == program and process.parent == self.node.process.pid]

    def remade(self, name):
        """The layers of a model that is made from what `show --modelfile` prints."""
        self.create("remade", self.node.cli("show", "--modelfile", name).stdout)
        return self.layers("remade")
