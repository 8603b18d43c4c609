"""Several real nodes, each on a machine of its own (a network namespace)."""

import json
import pathlib
import shutil
import signal
import ssl
import unittest
import urllib.request

from .memory_limit import memory_total
from .network import Network
from .node import Node


def all_but(wanted):
    """Bytes to keep free so that a node never has more than this for models, which may take nine
    tenths of the memory. What is free now says nothing of later."""
    return memory_total() // 10 * 9 - wanted


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

    def begin_cluster(self):
        """Of itself alone; waits until it decides."""
        self.cli("cluster", "init")
        self.wait_until(lambda: self.status().get("majority"), "it is a cluster")

    def status(self):
        return json.loads(self.cli("cluster", "status", "--json").stdout)

    def states(self):
        return {node["name"]: node["state"] for node in self.status()["nodes"]}

    def nodes_if_up(self):
        """Those of status(); none while it starts anew, as a node does that begins to vote."""
        try:
            return self.status()["nodes"]
        except AssertionError:
            if self.process.poll() is not None:
                raise
            return []

    def drain(self, name, word="drain"):
        """Or `word`: "undrain". While voters elect, changes are refused: then it asks again."""
        self.wait_until(lambda: self.cli("cluster", word, name, check=False).returncode == 0,
                        f"{word} {name}")

    def copies(self, name):
        """The nodes that have the model's files, as this one knows."""
        models = json.loads(self.cli("replicas", "list", "--json").stdout)["models"]
        return next((model["copies"] for model in models if name in model["name"]), [])


def peer_tls(node, shows=True):
    """For the port between nodes: as `node`, or as somebody who shows no certificate."""
    state = pathlib.Path(node.environment["OLLAMAMAX_STATE"]) / "cluster"
    tls = ssl.create_default_context(cafile=state / "ca.crt")
    tls.check_hostname = False  # The certificates name nodes, not addresses.
    if shows:
        tls.load_cert_chain(state / "node.pem")
    return tls


def etcd_leader(nodes):
    """The node whose etcd member leads, by what the members say through the nodes' port."""
    for node in nodes:
        request = urllib.request.Request(f"https://{node.address}:11435/v3/maintenance/status",
                                         data=b"{}")
        try:
            with urllib.request.urlopen(request, timeout=3, context=peer_tls(node)) as reply:
                status = json.load(reply)
        except OSError:
            continue
        if status.get("leader") == status["header"]["member_id"]:
            return node
    return None


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
        self.wait_until_ready()

    def let_in(self, node, through):
        """With a new token of a member."""
        node.cli("cluster", "join", through.cli("cluster", "token").stdout.strip())
        self.wait_until_ready()

    def wait_until_ready(self, names=None):
        wanted = set(names or (node.name for node in self.nodes))
        for node in self.nodes:
            if node.name in wanted:
                node.wait_until(lambda node=node: wanted <= {
                    seen["name"] for seen in node.nodes_if_up() if seen["state"] == "ready"},
                    f"{node.name} sees all as ready")

    def wait_for_voters(self, count=3):
        first = self.nodes[0]
        first.wait_until(lambda: sum(seen["voter"] for seen in first.nodes_if_up()) == count,
                         f"{count} voters")

    def voters(self):
        return sum(node["voter"] for node in self.nodes[0].status()["nodes"])


class ClusterCase(unittest.TestCase):
    """Tests that share one cluster and leave it whole. prepare() makes what all of them need."""

    count, environments = 3, {}  # Of its nodes; of some, by index.
    machine = Machine

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.count, cls.environments, cls.machine)
        cls.cluster.__enter__()
        try:
            cls.cluster.form()
            cls.nodes = cls.cluster.nodes
            cls.prepare()
        except BaseException:
            cls.cluster.__exit__(True, None, None)
            raise

    @classmethod
    def prepare(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.cluster.__exit__(None, None, None)

    def tearDown(self):
        """A test that failed half-way must not take the next ones along."""
        for node in self.nodes:
            if node.process.poll() is not None:
                node.start()
