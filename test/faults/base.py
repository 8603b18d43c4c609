"""What the scenarios share: a cluster of three voters, its leader, a clean state between them."""

import os
import pathlib
import signal

from load import MODEL, names_of

from support import cluster

FULL = bool(os.environ.get("FAULTS_FULL"))  # ./run faults: more of everything.


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
        return self.nodes[0].wait_until(lambda: cluster.etcd_leader(self.nodes),
                                        "etcd has a leader")

    def others(self, node):
        return [other for other in self.nodes if other is not node]
