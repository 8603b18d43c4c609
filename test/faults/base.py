"""What the scenarios share: a cluster of three voters, its leader, a clean state between them."""

import json
import os
import pathlib
import signal
import ssl
import urllib.request

from load import MODEL, names_of

from support import cluster

FULL = bool(os.environ.get("FAULTS_FULL"))  # ./run faults: more of everything.


def etcd_leader(nodes):
    """The node whose etcd member leads, by what the members say."""
    for node in nodes:
        state = pathlib.Path(node.environment["OLLAMAMAX_STATE"]) / "cluster"
        tls = ssl.create_default_context(cafile=state / "ca.crt")
        tls.check_hostname = False  # The certificates name nodes, not addresses.
        tls.load_cert_chain(state / "node.pem")
        request = urllib.request.Request(f"https://{node.address}:11436/v3/maintenance/status",
                                         data=b"{}")
        try:
            with urllib.request.urlopen(request, timeout=3, context=tls) as reply:
                status = json.load(reply)
        except OSError:
            continue
        if status.get("leader") == status["header"]["member_id"]:
            return node
    return None


def children(node, name):
    """Process ids of a node's children of that name; those that were left behind too."""
    found = []
    mark = str(node.folder).encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if pathlib.Path(os.fsdecode(line.split(b"\0")[0])).name == name and (
                mark in line or mark in environment):
            found.append(int(entry.name))
    return found


class ClusterCase(cluster.ClusterCase):
    @classmethod
    def prepare(cls):
        for node in cls.nodes:
            node.create(MODEL)
        cls.cluster.wait_for_voters()

    def tearDown(self):
        for index, node in enumerate(self.nodes):
            self.cluster.network.cut(index, False)
            self.cluster.network.heal(index)
            if node.process.poll() is None:
                for pid in [node.process.pid, *children(node, "etcd")]:
                    os.kill(pid, signal.SIGCONT)
        super().tearDown()
        self.cluster.wait_until_ready()
        for name in names_of(self.nodes[0]):
            if name.startswith("w-"):
                self.nodes[0].request("DELETE", "/api/delete", {"model": name}).close()

    def leader(self):
        return self.nodes[0].wait_until(lambda: etcd_leader(self.nodes), "etcd has a leader")

    def others(self, node):
        return [other for other in self.nodes if other is not node]
