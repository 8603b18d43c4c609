"""Machines of our own for a test: network namespaces on one bridge, each with an address.

    with Network(3) as network:
        subprocess.run(network.command(0, ["ping", "-c1", network.address(1)]))

The test itself moves to one more machine of that network, and back at the end. Needs root and
iproute2. Nothing outside the namespaces made here is touched.
"""

import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000


def enter_namespace(path):
    """Moves this thread, and what it starts from now on."""
    with open(path) as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


class Network:
    def __init__(self, count, prefix=None):
        # Short: names of interfaces have 15 characters.
        self.prefix = prefix or f"om{os.getpid() % 100000}"
        self.bridge = f"{self.prefix}b"
        self.count = count

    def name(self, index):
        return f"{self.prefix}n{index}"

    def address(self, index):
        return f"10.199.0.{index + 1}"

    def ip(self, *arguments, check=True):
        return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)

    def __enter__(self):
        # The bridge lies in a namespace of its own, so that the machine's own network is not seen.
        self.ip("netns", "add", self.bridge)
        self.ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        self.ip("-n", self.bridge, "link", "set", "br0", "up")
        for index in range(self.count + 1):  # The last one is the test's own.
            name, outside = self.name(index), f"{self.prefix}v{index}"
            self.ip("netns", "add", name)
            self.ip("link", "add", outside, "netns", self.bridge, "type", "veth",
                    "peer", "name", "eth0", "netns", name)
            self.ip("-n", self.bridge, "link", "set", outside, "master", "br0", "up")
            self.ip("-n", name, "addr", "add", f"{self.address(index)}/24", "dev", "eth0")
            self.ip("-n", name, "link", "set", "lo", "up")
            self.ip("-n", name, "link", "set", "eth0", "up")
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        enter_namespace(f"/run/netns/{self.name(self.count)}")
        return self

    def __exit__(self, *_):
        enter_namespace(f"/proc/self/fd/{self.home}")
        os.close(self.home)
        for index in range(self.count + 1):
            self.ip("netns", "del", self.name(index), check=False)
        self.ip("netns", "del", self.bridge, check=False)

    def command(self, index, line):
        return ["ip", "netns", "exec", self.name(index), *line]

    def enter(self, index, line):
        """As command(), but /sys/fs/cgroup, where a node reads its limits, is not hidden."""
        return ["nsenter", f"--net=/run/netns/{self.name(index)}", *line]

    def break_connections(self, index, other, port):
        """Resets the connections that one machine has made to a port of another one."""
        subprocess.run(self.command(index, ["ss", "-K", "dst", self.address(other),
                                            "dport", "=", str(port)]),
                       check=True, capture_output=True)

    def cut(self, index, cut=True):
        """Takes a machine off the network without telling anybody: no reset, only silence."""
        self.ip("-n", self.bridge, "link", "set", f"{self.prefix}v{index}",
                "down" if cut else "up")

    def drop(self, source, target):
        """What `source` sends to `target` is lost without a word; the other way stays open."""
        self.ip("-n", self.name(source), "route", "replace", "blackhole",
                f"{self.address(target)}/32")

    def heal(self, source):
        """Undoes drop(): what `source` sends arrives again everywhere."""
        for target in range(self.count):
            self.ip("-n", self.name(source), "route", "del", "blackhole",
                    f"{self.address(target)}/32", check=False)
