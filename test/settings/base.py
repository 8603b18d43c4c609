"""What the tests of this suite share: a folder of models, and nodes with variables of their own."""

import atexit
import os
import pathlib
import shutil
import tempfile

from support.node import Node

MODEL = "smollm2:135m"
EMBEDDER = "all-minilm"
SHORT = {"model": MODEL, "prompt": "Hi", "options": {"num_predict": 2}}
# Its format wants more tokens than anybody waits for: it cannot end early.
ENDLESS = {"model": MODEL, "prompt": "Write a very long story about a fox and a river.",
           "format": {"type": "array", "items": {"type": "boolean"}, "minItems": 2000},
           "options": {"num_predict": -1, "temperature": 0, "seed": 1}}


class Models:
    """Made once, linked into the folders of the nodes that want them."""

    folder = None

    @classmethod
    def get(cls):
        if cls.folder is None:
            cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-settings-"))
            atexit.register(shutil.rmtree, cls.folder)
            with Node({"OLLAMA_MODELS": str(cls.folder / "models")}) as node:
                node.create(MODEL)
                node.create(EMBEDDER)
        return cls.folder / "models"


def node_with(models=True, **environment):
    node = Node(environment)
    # Its own folder must stand in the arguments of its runners: Node.runners() looks for it.
    if models:
        shutil.copytree(Models.get(), node.folder / "models", copy_function=os.link)
    return node


def arguments(pid):
    """The command line of a process."""
    return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def argument(pid, flag):
    """What follows `flag` there; None without it."""
    line = arguments(pid)
    return line[line.index(flag) + 1] if flag in line else None
