"""Who has no place in a cluster: what its port and its folders show them."""

import contextlib
import pathlib
import socket
import time
import unittest
import urllib.error
import urllib.request

from support.cluster import Cluster, peer_tls

# Of each kind: facts, keys, blobs, leases, etcd's own API, and the way between voters.
INSIDE = ["/peer/v1/report", "/peer/v1/metadata/get", "/peer/v1/backend-keys/rack",
          "/peer/v1/authority", "/peer/v1/renew", "/peer/v1/blobs/sha256:" + "0" * 64,
          "/peer/v1/leases", "/v3/kv/range", "/v3/cluster/member/list", "/peer/v1/voter/tunnel"]


def ask(node, path, tls):
    """The status, and the beginning of what is said."""
    request = urllib.request.Request(f"https://{node.address}:11435{path}", data=b"{}")
    try:
        with urllib.request.urlopen(request, timeout=20, context=tls) as reply:
            return reply.status, reply.read(1000).decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read(1000).decode()


class Strangers(unittest.TestCase):
    def test_they_get_nothing_of_a_cluster(self):
        with Cluster(2) as cluster:
            first, second = cluster.nodes
            first.begin_cluster()
            brief = first.cli("cluster", "token", "--expires-in", "1s").stdout.strip()
            time.sleep(2)
            late = second.cli("cluster", "join", brief, check=False)
            self.assertEqual(late.returncode, 1)
            self.assertIn("has expired", late.stderr)
            cluster.let_in(second, first)
            first.cli("backend", "add", f"http://{first.address}:1", "--name", "rack",
                      "--key", "s3cret")
            self.expect_no_talk_without_tls(first)
            self.expect_refused(first, peer_tls(first, shows=False))
            member = peer_tls(second)
            self.assertNotEqual(ask(first, "/v3/maintenance/status", member)[0], 403)
            status, told = ask(first, "/peer/v1/authority", member)
            self.assertEqual(status, 403)
            self.assertIn("only voters keep this key", told)
            for node in cluster.nodes:
                self.expect_private(node)
            first.cli("cluster", "remove", second.name)
            first.wait_until(lambda: ask(first, INSIDE[0], member)[0] == 403, "it is none now")
            self.expect_refused(first, member)

    def expect_refused(self, node, tls):
        before = node.metric("ollamamax_peer_refused_total")
        for path in INSIDE:
            with self.subTest(path):
                status, told = ask(node, path, tls)
                self.assertEqual(status, 403, told)
        self.assertGreaterEqual(node.metric("ollamamax_peer_refused_total"),
                                before + len(INSIDE))

    def expect_no_talk_without_tls(self, node):
        refused = "ollamamax_tls_handshakes_refused_total"
        before = node.metric(refused)
        with socket.create_connection((node.address, 11435), timeout=20) as plain:
            plain.sendall(b"GET /peer/v1/report HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                self.assertNotIn(b"HTTP", plain.recv(4096))
        node.wait_until(lambda: node.metric(refused) == before + 1, "it is counted")

    def expect_private(self, node):
        """Other users of the machine can open none of the folders with secrets, nor the files."""
        state = pathlib.Path(node.environment["OLLAMAMAX_STATE"])
        key, identity = state / "backend-keys/rack", state / "cluster/node.pem"
        node.wait_until(key.exists, "it has got the key")
        self.assertTrue(identity.exists())
        seen = [path for path in (key, key.parent, identity, identity.parent,
                                  state / "cluster/ca.key", state / "cluster/etcd")
                if path.exists()]
        self.assertEqual([path for path in seen if path.stat().st_mode & 0o077], [])
