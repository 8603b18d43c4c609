"""Several real nodes, each on a machine of its own (a network namespace)."""

import json
import shutil
import signal

from .network import Network
from .node import Node


class Machine(Node):
    """A node in a namespace: its own address, its own disk."""

    def __init__(self, network, index, environment=None):
        super().__init__({"OLLAMAMAX_NODE_NAME": f"n{index + 1}", "OLLAMA_HOST": "0.0.0.0:11434",
                          # Spinning threads of several runners would fight for the same cores.
                          "OLLAMAMAX_THREADS": "1", "OLLAMA_NUM_PARALLEL": "4",
                          "HOME": "/nonexistent", **(environment or {})})
        self.network, self.index = network, index
        self.name = f"n{index + 1}"
        self.address = network.address(index)
        self.port = 11434
        self.host = f"{self.address}:{self.port}"
        self.url = f"http://{self.host}"

    def command(self, line):
        return self.network.command(self.index, line)

    def cli(self, *arguments, environment=None, **options):
        return super().cli(*arguments, **options,
                           environment={"OLLAMA_HOST": "127.0.0.1:11434", **(environment or {})})

    def kill(self):
        self.stop(signal.SIGKILL)

    def status(self):
        return json.loads(self.cli("cluster", "status", "--json").stdout)

    def states(self):
        return {node["name"]: node["state"] for node in self.status()["nodes"]}


class Cluster:
    """Nodes that are one cluster; the first one founded it."""

    def __init__(self, count, environments=None, machine=Machine):
        self.network = Network(count)
        self.machine = machine
        self.count, self.environments = count, environments or {}  # By index.
        self.nodes = []

    def __enter__(self):
        self.network.__enter__()
        try:
            for index in range(self.count):
                self.nodes.append(self.machine(self.network, index, self.environments.get(index)))
                self.nodes[-1].start()
        except BaseException:
            self.__exit__(True, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            if kind is not None:
                print(f"---- log of {node.name} ----\n{node.log()[-4000:]}\n---- end ----")
            try:
                node.stop()
            finally:
                shutil.rmtree(node.folder, ignore_errors=True)
        self.network.__exit__()

    def form(self):
        token = json.loads(self.nodes[0].cli("cluster", "init", "--json").stdout)["token"]
        for node in self.nodes[1:]:
            node.cli("cluster", "join", token)
            token = self.nodes[0].cli("cluster", "token").stdout.strip()

    def wait_until_ready(self, names=None):
        wanted = set(names or (node.name for node in self.nodes))
        for node in self.nodes:
            if node.name in wanted:
                node.wait_until(lambda node=node: wanted <= {
                    name for name, state in node.states().items() if state == "ready"},
                    f"{node.name} sees all as ready")

