"""Deaths for nodes and their runners at seeded moments, and what brings them back."""

import contextlib
import os
import signal
import time

from support.processes import descendants

# The machine a stream is served by: what can happen to it.
RUNNER, NODE, FREEZE, CUT, HANG = "runner killed", "node killed", "machine frozen", "link cut", \
    "runner hangs"


def send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Death:
    """One death: `strike()`, later `mend()`."""

    def __init__(self, kind, node, network):
        self.kind, self.node, self.network = kind, node, network
        self.frozen, self.moment, self.wall_moment = [], None, None

    def strike(self):
        self.moment, self.wall_moment = time.monotonic(), time.strftime("%H:%M:%S")
        if self.kind == RUNNER:
            send(self.node.runners(), signal.SIGKILL)
        elif self.kind == NODE:
            self.node.kill()
        elif self.kind == CUT:
            self.network.cut(self.node.index)
        else:
            self.frozen = self.node.runners() if self.kind == HANG else [
                self.node.process.pid, *descendants(self.node.process.pid)]
            send(self.frozen, signal.SIGSTOP)

    def mend(self):
        if self.kind == NODE:
            self.node.start()
        elif self.kind == CUT:
            self.network.cut(self.node.index, False)
        send(reversed(self.frozen), signal.SIGCONT)
        self.frozen = []
