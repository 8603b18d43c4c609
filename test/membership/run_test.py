#!/usr/bin/env python3
"""Certificates that renew themselves, and ways to find a cluster; real nodes in namespaces."""

import base64
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zlib

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1])]
from support import cases  # noqa: E402
from support.cluster import Cluster, etcd_leader  # noqa: E402
from support.node import HttpError  # noqa: E402
from strangers import Strangers  # noqa: E402, F401 (its cases run here)

MODEL = "smollm2:135m"
LIFE = 45  # Seconds; renewed after a third of it, as a certificate begins before it is issued.
TOKEN_HEAD = 1 + 8 + 16 + 32 + 4


def token_for(token, host, port=11435):
    """The same token as if the cluster had been at another address when it was made."""
    raw = base64.urlsafe_b64decode(token.removeprefix("omjoin-") + "==")
    head = raw[:TOKEN_HEAD]
    name = host.encode()
    body = head + struct.pack(">BB", 1, len(name)) + name + struct.pack(">H", port)
    body += struct.pack(">I", zlib.crc32(body))
    return "omjoin-" + base64.urlsafe_b64encode(body).decode().rstrip("=")


def copied(node, name):
    """Makes a copy of the model through a node; False: without a majority no change is possible."""
    try:
        node.post("/api/copy", {"source": MODEL, "destination": name})
        return True
    except HttpError as refused:
        if refused.status != 503:
            raise
        return False


class NameServer(threading.Thread):
    """Answers A questions out of a table that may change; the rest does not exist."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.names, self.asked = {}, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.start()

    def run(self):
        while True:
            try:
                question, asker = self.socket.recvfrom(512)
            except OSError:
                return
            self.socket.sendto(self.answer(question), asker)

    def answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack(">H", question[at + 1:at + 3])[0]
        name = ".".join(labels)
        self.asked.append(name)
        known = self.names.get(name)
        addresses = (known or []) if kind == 1 else []
        flags = 0x8580 if known is not None else 0x8583
        reply = question[:2] + struct.pack(">HHHHH", flags, 1, len(addresses), 0, 0)
        reply += question[12:at + 5]
        for address in addresses:
            reply += struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
        return reply

    def close(self):
        self.socket.close()


class Certificates(unittest.TestCase):
    def ends(self, cluster):
        return [node.status()["certificate"]["not_after_seconds"] for node in cluster.nodes]

    def test_they_renew_themselves_under_load_and_who_was_off_too_long_is_told_what_to_do(self):
        common = {"OLLAMAMAX_CLUSTER_CERTIFICATE_LIFE": f"{LIFE}s"}
        with Cluster(4, {index: common for index in range(4)}) as cluster:
            first, last = cluster.nodes[0], cluster.nodes[3]
            cluster.form()
            first.create(MODEL)
            begun = time.time()
            first.wait_until(lambda: all(end < begun + 2 * LIFE for end in self.ends(cluster)),
                             "all have short certificates")
            stop, lines, errors = threading.Event(), [], []

            def stream():
                body = {"model": MODEL, "prompt": "A long story.",
                        "options": {"num_predict": 200, "temperature": 0}}
                while not stop.is_set():
                    try:
                        lines.append(list(last.stream("/api/generate", body))[-1])
                    except Exception as error:  # noqa: BLE001: told below.
                        errors.append(error)
                        return
            streaming = threading.Thread(target=stream)
            streaming.start()
            # Longer than any of the certificates lives that there are now.
            first.wait_until(lambda: time.time() > begun + 2 * LIFE and
                             all(end > time.time() for end in self.ends(cluster)),
                             "they were renewed")
            stop.set()
            streaming.join()
            self.assertEqual(errors, [])
            self.assertTrue(lines)
            self.assertTrue(all(line["eval_count"] and "error" not in line for line in lines))
            # New connections, etcd's members among them, are made with the new ones.
            first.wait_until(lambda: all(node.status()["majority"] for node in cluster.nodes),
                             "all have a majority")
            for node in cluster.nodes:
                self.assertIn("certificate renewed", node.log())
            first.post("/api/copy", {"source": MODEL, "destination": "other"})
            cluster.wait_until_ready()
            self.restart_a_voter(cluster)
            self.leave_one_off_for_too_long(cluster)

    def restart_a_voter(self, cluster):
        voter = next(node for node in cluster.nodes if node.status()["voter"])
        voter.stop()
        voter.start()
        cluster.wait_until_ready()
        voter.wait_until(lambda: voter.status()["majority"], "it is a voter again")

    def leave_one_off_for_too_long(self, cluster):
        first = cluster.nodes[0]
        off = next(node for node in cluster.nodes if not node.status()["voter"])
        end = off.status()["certificate"]["not_after_seconds"]
        off.kill()
        first.wait_until(lambda: time.time() > end + 1, "its certificate expires")
        off.start()
        off.wait_until(lambda: off.status()["certificate"]["advice"], "it says what to do")
        told = off.cli("cluster", "status").stdout
        self.assertIn(f"ollamamax cluster remove {off.name}", told)
        refused = off.cli("cluster", "leave", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--force", refused.stderr)
        first.cli("cluster", "remove", off.name)
        off.cli("cluster", "leave", "--force")
        cluster.let_in(off, first)
        self.assertEqual(off.status()["certificate"]["advice"], "")


class Voters(unittest.TestCase):
    def voters(self, node):
        return {member["name"] for member in node.status()["nodes"] if member["voter"]}

    def test_a_lost_voter_is_replaced_by_a_healthy_node(self):
        with Cluster(4) as cluster:
            first = cluster.nodes[0]
            cluster.form()
            first.wait_until(lambda: len(self.voters(first)) == 3, "three voters")
            first.create(MODEL)
            before = self.voters(first)
            lost = next(node for node in cluster.nodes[1:] if node.name in before)
            spare = next(node for node in cluster.nodes if node.name not in before)
            lost.kill()
            alive = [node for node in cluster.nodes if node is not lost]
            first.wait_until(lambda: self.voters(first) == (before - {lost.name}) | {spare.name},
                             "another node votes in its place", 180)
            spare.wait_until(lambda: spare.status()["voter"] and spare.status()["majority"],
                             "it keeps the facts")
            # The two that are left of the first three would be no majority with one more death,
            # were the new one not a whole voter.
            other = next(node for node in alive if node is not spare and node is not first)
            other.kill()
            first.wait_until(lambda: copied(first, "other"), "changes go on")
            other.start()
            lost.start()
            cluster.wait_until_ready()
            self.assertEqual(len(self.voters(first)), 3)


class OnePort(unittest.TestCase):
    """What a firewall between the nodes would have to let through."""

    def ports(self, node):
        """Those that other machines may connect to, and those of others that it has tried."""
        table = subprocess.run(node.command(["cat", "/proc/net/tcp"]), capture_output=True,
                               text=True, timeout=20, check=True).stdout
        listening, tried = set(), set()
        for line in table.splitlines()[1:]:
            _, here, there, state = line.split()[:4]
            address, port = here.split(":")
            if address.endswith("7F"):
                continue
            if state == "0A":
                listening.add(int(port, 16))
            else:
                tried.add(min(int(port, 16), int(there.split(":")[1], 16)))
        return listening, tried

    def expect_one_port(self, cluster):
        for node in cluster.nodes:
            listening, tried = self.ports(node)
            self.assertEqual(listening, {11434, 11435})
            self.assertLessEqual(tried, listening)
            self.assertIn(11435, tried)

    def test_voters_need_no_port_of_their_own(self):
        with Cluster(3) as cluster:
            cluster.form()
            cluster.wait_for_voters()
            self.expect_one_port(cluster)
            first = cluster.nodes[0]
            first.create(MODEL)
            leader = first.wait_until(lambda: etcd_leader(cluster.nodes), "etcd has a leader")
            leader.kill()
            others = [node for node in cluster.nodes if node is not leader]
            others[0].wait_until(lambda: etcd_leader(others), "another voter leads")
            others[1].cli("cp", MODEL, "copied")
            leader.start()
            cluster.wait_until_ready()
            leader.wait_until(lambda: leader.status()["majority"], "it is back among the voters")
            # A planned end costs no election: another one leads before it is gone.
            leader = first.wait_until(lambda: etcd_leader(cluster.nodes), "etcd has a leader")
            others = [node for node in cluster.nodes if node is not leader]
            leader.stop()
            others[0].wait_until(lambda: etcd_leader(others), "another leads")
            self.assertNotIn("after an election", leader.log())
            leader.start()
            cluster.wait_until_ready()
            self.expect_one_port(cluster)

    def test_etcd_has_ports_of_its_own_on_demand(self):
        """As a cluster needs that is to go back to a version without one port for all."""
        with Cluster(1, {0: {"OLLAMAMAX_CLUSTER_ONE_PORT": "0"}}) as cluster:
            node, = cluster.nodes
            node.begin_cluster()
            listening, _ = self.ports(node)
            self.assertEqual(listening, {11434, 11435, 11436, 11437})


class HostNames(unittest.TestCase):
    def test_nodes_that_are_reached_by_host_names_vote(self):
        cluster = Cluster(3)
        network = cluster.network
        names = "".join(f"{network.address(index)} box{index + 1}.lan\n" for index in range(3))
        for index in range(3):
            folder = pathlib.Path("/etc/netns") / network.name(index)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text("127.0.0.1 localhost\n" + names)
            self.addCleanup(shutil.rmtree, folder)
        with cluster:
            first, second, third = cluster.nodes
            token = json.loads(first.cli("cluster", "init", "--advertise", "box1.lan",
                                         "--json").stdout)["token"]
            # In its certificate that name would be n1's own.
            refused = second.cli("cluster", "join", token, "--advertise", "n1", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("the name of another node", refused.stderr)
            for node in (second, third):
                node.cli("cluster", "join", token, "--advertise", f"box{node.index + 1}.lan")
                token = first.cli("cluster", "token").stdout.strip()
            cluster.wait_until_ready()
            cluster.wait_for_voters()
            second.create(MODEL)
            first.kill()
            third.wait_until(lambda: etcd_leader([second, third]), "another voter leads")
            third.cli("cp", MODEL, "copied")


class Moves(unittest.TestCase):
    """Machines that get other addresses, as by DHCP, while the others go on."""

    def move(self, cluster, node):
        """Stops it, and starts it where the old address does not lead to it."""
        address = f"10.199.0.{node.index + 101}"
        node.stop()
        subprocess.run(node.command(["ip", "addr", "add", f"{address}/24", "dev", "eth0"]),
                       check=True, timeout=20)
        node.environment["OLLAMAMAX_CLUSTER_LISTEN"] = f"{address}:11435"
        node.environment["OLLAMAMAX_CLUSTER_ADVERTISE"] = address
        node.start()
        for other in cluster.nodes:
            other.wait_until(lambda other=other: self.place(other, node) == (
                f"{address}:11435", "ready"), f"{other.name} sees {node.name} there")

    def place(self, other, node):
        return next((seen["address"], seen["state"]) for seen in other.status()["nodes"]
                    if seen["name"] == node.name)

    def test_voters_that_have_moved_go_on_voting(self):
        with Cluster(3) as cluster:
            cluster.form()
            cluster.wait_for_voters()
            first, second, third = cluster.nodes
            second.create(MODEL)
            for node in cluster.nodes:
                self.move(cluster, node)
                node.wait_until(lambda node=node: node.status()["majority"], "it has a majority")
                node.cli("cp", MODEL, f"copied-{node.name}")
            cluster.wait_for_voters()
            # None of the old addresses is needed for a majority any more.
            third.kill()
            first.wait_until(lambda: copied(first, "other"), "changes go on")
            gone = 'ollamamax_nodes{state="unreachable"}'
            second.wait_until(lambda: second.metric(gone) == 1, "its metrics tell who is gone")
            self.assertEqual(second.metric("ollamamax_cluster_majority"), 1)
            self.assertGreater(second.metric("ollamamax_certificate_not_after_timestamp_seconds"),
                               time.time() + 80 * 86400)

    def test_the_only_voter_is_found_again(self):
        with Cluster(2) as cluster:
            cluster.form()
            first, second = cluster.nodes
            first.create(MODEL)
            self.move(cluster, first)
            self.move(cluster, second)
            second.cli("cp", MODEL, "copied")

    def test_an_address_that_leads_nowhere_is_not_announced(self):
        """As that of the network of this machine's containers, which is older than its card."""
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            for line in (["addr", "add", "172.17.0.1/16", "dev", "lo"],
                         ["route", "add", "default", "via", second.address]):
                subprocess.run(first.command(["ip", *line]), check=True, timeout=20)
            cluster.form()
            own = ["ip", "addr", "change", f"{first.address}/24", "dev", "eth0"]
            self.assertEqual(self.place(first, first), (f"{first.address}:11435", "ready"))
            subprocess.run(first.command(["ip", "addr", "flush", "dev", "eth0"]), check=True,
                           timeout=20)
            time.sleep(40)  # What is gone for half a minute is taken for gone.
            subprocess.run(first.command(own), check=True, timeout=20)
            second.wait_until(lambda: self.place(second, first) == (
                f"{first.address}:11435", "ready"), "it is there again")
            self.assertNotIn("another address now", first.log())


class Discovery(unittest.TestCase):
    def names_of(self, index, network, server):
        """Lets a machine ask our name server: `ip netns exec` lays this file over its own."""
        folder = pathlib.Path("/etc/netns") / network.name(index)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(
            f"nameserver {server}\noptions timeout:5 attempts:3\n")
        self.addCleanup(shutil.rmtree, folder)

    def test_a_name_whose_answers_change_leads_to_the_cluster(self):
        cluster = Cluster(3)
        server = cluster.network.address(3)
        for index in range(3):
            self.names_of(index, cluster.network, server)
        with cluster:
            names = NameServer(server)
            self.addCleanup(names.close)
            first, second, third = cluster.nodes
            token = json.loads(first.cli("cluster", "init", "--json").stdout)["token"]
            stale = token_for(token, "10.199.0.99")
            lost = second.cli("cluster", "join", stale, check=False)
            self.assertEqual(lost.returncode, 1)
            names.names["nodes.test"] = ["10.199.0.98"]  # As stale as the token.
            lost = second.cli("cluster", "join", stale, "--discover", "dns:nodes.test", check=False)
            self.assertEqual(lost.returncode, 1)
            self.assertIn("10.199.0.98", lost.stderr)
            names.names["nodes.test"] = ["10.199.0.98", first.address]
            second.cli("cluster", "join", stale, "--discover", "dns:nodes.test")
            self.assertIn("nodes.test", names.asked)
            # From the configuration, a list of addresses; one of them is no voter.
            token = token_for(first.cli("cluster", "token").stdout.strip(), "10.199.0.99")
            third.stop()
            third.environment["OLLAMAMAX_CLUSTER_DISCOVER"] = f"{second.address},{first.address}"
            third.start()
            third.cli("cluster", "join", "-", input=token + "\n")
            cluster.wait_until_ready()
            wrong = third.cli("cluster", "join", token, "--discover", "http://x", check=False)
            self.assertEqual(wrong.returncode, 1)


AVAHI = """[server]
use-ipv6=no
allow-interfaces=eth0
host-name={name}
[rlimits]
"""


class LocalNetwork(unittest.TestCase):
    """Each machine with an Avahi and a D-Bus of its own."""

    def daemons(self, network, index, name):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-avahi-"))
        self.addCleanup(shutil.rmtree, folder, True)
        (folder / "avahi.conf").write_text(AVAHI.format(name=name))
        bus = f"unix:path={folder}/bus"
        (folder / "bus.conf").write_text(f"""<busconfig><type>system</type>
<listen>{bus}</listen><auth>EXTERNAL</auth><policy context="default"><allow own="*"/>
<allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/></policy></busconfig>""")
        # A mount namespace of its own, as the daemon's pid file has one fixed place.
        script = (f"mount -t tmpfs none /run && mkdir -p /run/avahi-daemon && "
                  f"dbus-daemon --config-file={folder}/bus.conf --nofork & "
                  f"while [ ! -S {folder}/bus ]; do sleep 0.1; done; "
                  f"exec avahi-daemon --no-chroot --no-drop-root --no-rlimits "
                  f"-f {folder}/avahi.conf")
        environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus}
        process = subprocess.Popen(
            network.command(index, ["unshare", "-m", "sh", "-c", script]), env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, 15)
        return {"DBUS_SYSTEM_BUS_ADDRESS": bus}

    def test_a_node_that_announces_itself_is_found(self):
        cluster = Cluster(2)
        with cluster:
            first, second = cluster.nodes
            for node in cluster.nodes:
                node.stop()
                node.environment.update(self.daemons(cluster.network, node.index, node.name))
            first.environment["OLLAMAMAX_CLUSTER_ANNOUNCE_MDNS"] = "1"
            for node in cluster.nodes:
                node.start()
            token = json.loads(first.cli("cluster", "init", "--json").stdout)["token"]
            stale = token_for(token, "10.199.0.99")
            first.wait_until(lambda: "announced over mDNS" in first.log(), "it is announced")
            second.wait_until(lambda: second.cli("cluster", "join", stale, "--discover", "mdns",
                                                 check=False).returncode == 0, "it is found")
            cluster.wait_until_ready()


if __name__ == "__main__":
    cases.main()
