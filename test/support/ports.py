"""Ports for servers of tests and benchmarks."""

import random
import socket

# Below what the kernel gives to outgoing connections (ip_local_port_range, from 32768): a port
# found free there could be taken by any client before its server listens.
FIRST, LAST = 20000, 32000


def free_port():
    for _ in range(200):
        port = random.randint(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError(f"no free port between {FIRST} and {LAST}")
