"""What the scenarios share: a cluster of three voters, its leader, a clean state between them."""

import contextlib
import os
import pathlib
import signal

from load import MODEL, names_of

from support import cluster
from support.processes import processes

FULL = bool(os.environ.get("FAULTS_FULL"))  # ./run faults: more of everything.


def children(node, name):
    """Process ids of a node's children of that name; those that were left behind too."""
    folder = str(node.folder)

    def is_of(process):
        with contextlib.suppress(OSError):  # It has ended.
            environment = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
            return folder.encode() in environment or any(folder in argument
                                                         for argument in process.arguments)
        return False

    return [process.pid for process in processes() if process.program == name and is_of(process)]


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
