#!/usr/bin/env python3
"""A cluster whose facts are in an etcd of its users: TLS with certificates of theirs, one of its
endpoints dead, two nodes that reach it and one that asks those."""

import base64
import json
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from support import cases, certificate  # noqa: E402
from support.cluster import Cluster  # noqa: E402

MODEL = "smollm2:135m"
PREFIX = "/our/llms/"


class Etcd:
    """What the users run, on a machine that is no node."""

    def __init__(self, address):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ollamamax-etcd-"))
        self.certificate = self.folder / "etcd.pem"
        certificate.make(self.certificate, address)
        text = self.certificate.read_text()
        begin = text.index("-----BEGIN PRIVATE KEY")
        # Two files, as most people have them. etcd takes nothing but certificates in the first.
        self.authority, self.key = self.folder / "ca.pem", self.folder / "etcd.key"
        self.authority.write_text(text[:begin])
        self.key.write_text(text[begin:])
        self.url = f"https://{address}:2379"
        self.process = None

    def start(self):
        pem = str(self.certificate)
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", str(self.folder / "data"), "--log-level", "error",
             "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
             "--listen-peer-urls", "http://127.0.0.1:2380", "--cert-file", pem, "--key-file", pem,
             "--trusted-ca-file", str(self.authority), "--client-cert-auth"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                self.ask("maintenance/status", {})
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("etcd does not answer")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def ask(self, what, body):
        trust = ssl.create_default_context(cafile=str(self.authority))
        trust.load_cert_chain(str(self.certificate))
        request = urllib.request.Request(f"{self.url}/v3/{what}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10, context=trust) as reply:
            return json.load(reply)

    def put(self, key, value):
        self.ask("kv/put", {"key": base64.b64encode(key.encode()).decode(),
                            "value": base64.b64encode(value.encode()).decode()})

    def keys(self, prefix):
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.ask("kv/range", {"key": base64.b64encode(prefix.encode()).decode(),
                                      "range_end": base64.b64encode(end.encode()).decode(),
                                      "keys_only": True})
        return [base64.b64decode(pair["key"]).decode() for pair in found.get("kvs", [])]


class ExternalEtcd(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(3)
        network = self.cluster.network
        self.etcd = Etcd(network.address(3))  # The machine of the test.
        self.addCleanup(shutil.rmtree, self.etcd.folder)
        dead = f"https://{network.address(3)}:2399"
        self.reach = {"OLLAMAMAX_ETCD_ENDPOINTS": f"{dead},{self.etcd.url}",
                      "OLLAMAMAX_ETCD_CA_FILE": str(self.etcd.authority),
                      "OLLAMAMAX_ETCD_CERTIFICATE_FILE": str(self.etcd.authority),
                      "OLLAMAMAX_ETCD_KEY_FILE": str(self.etcd.key),
                      "OLLAMAMAX_ETCD_PREFIX": PREFIX,
                      "OLLAMAMAX_ETCD": "/nonexistent"}  # No node needs one of its own.
        self.cluster.environments = {0: self.reach, 1: self.reach,
                                     2: {"OLLAMAMAX_ETCD": "/nonexistent"}}
        self.cluster.__enter__()
        self.addCleanup(self.cluster.__exit__, None, None, None)
        self.n1, self.n2, self.n3 = self.cluster.nodes
        self.etcd.start()
        self.addCleanup(lambda: self.etcd.process.poll() is None and self.etcd.stop())

    def form(self):
        self.etcd.put("/our/other", "thing")
        self.cluster.form()
        self.cluster.wait_for_voters(2)

    def test_the_facts_are_kept_there_and_survive_a_voter(self):
        self.form()
        status = self.n1.status()
        self.assertTrue(status["external_etcd"])
        self.assertEqual({node["name"]: node["voter"] for node in status["nodes"]},
                         {"n1": True, "n2": True, "n3": False})
        self.assertIn(PREFIX + "data//nodes/n1", self.etcd.keys(PREFIX))
        self.n3.create(MODEL)
        self.n1.kill()  # n3 asked it first.
        self.n3.wait_until(lambda: self.n3.states()["n1"] == "unreachable", "n1 is missed")
        self.n3.post("/api/copy", {"source": MODEL, "destination": "other"})
        self.n2.wait_until(lambda: "other:latest" in self.n2.names(), "the copy is known")
        self.n1.start()
        self.cluster.wait_until_ready()
        self.assertIn("other:latest", self.n1.names())
        self.assertEqual(self.n2.cli("cluster", "promote", "n3", check=False).returncode, 1)
        self.cluster.wait_for_voters(2)
        self.check_without_etcd()

    def check_without_etcd(self):
        """Its end is that of a majority: models are served, changes refused, until it is back."""
        self.etcd.stop()
        self.n2.wait_until(lambda: not self.n2.status()["majority"], "the loss is noticed")
        reply = self.n3.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False,
                                               "options": {"num_predict": 2}})
        self.assertEqual(reply["eval_count"], 2)
        refused = self.n2.cli("cp", MODEL, "third", check=False)
        self.assertEqual(refused.returncode, 1)
        self.etcd.start()
        self.n2.wait_until(lambda: self.n2.status()["majority"], "it is back")
        self.n2.cli("cp", MODEL, "third")

    def test_leaving_gives_the_facts_back_and_clears_the_prefix_only(self):
        self.form()
        self.n1.cli("replicas", "set", "--factor", "1")
        self.n1.create(MODEL)
        self.n1.cli("backend", "add", "http://10.99.0.1:1", "--name", "rack", "--key", "s3cret")
        self.n3.cli("cluster", "leave")
        self.n2.cli("cluster", "leave")
        self.n1.cli("cluster", "leave")
        self.assertFalse(self.n1.status()["in_cluster"])
        self.n1.wait_until(lambda: not [key for key in self.etcd.keys(PREFIX) if "/data/" in key],
                           "its keys are gone")
        # What they stood for is not.
        self.assertEqual(self.n1.names(), [MODEL])
        told = json.loads(self.n1.cli("backend", "list", "--json").stdout)["backends"]
        self.assertEqual([backend["name"] for backend in told], ["rack"])
        key = pathlib.Path(self.n1.environment["OLLAMAMAX_STATE"]) / "backend-keys/rack"
        self.assertEqual(key.read_text(), "s3cret")
        self.assertEqual(self.etcd.keys("/our/other"), ["/our/other"])
        # Undone, it can be done again, and what was set is there still.
        self.n1.cli("cluster", "init")
        self.n1.wait_until(lambda: self.n1.status()["in_cluster"], "it is a cluster again")
        told = json.loads(self.n1.cli("replicas", "--json").stdout)
        self.assertEqual(told["default_policy"]["factor"], 1)

    def test_what_cannot_be_is_refused_with_a_reason(self):
        self.etcd.stop()
        refused = self.n1.cli("cluster", "init", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("no etcd answers at cluster.etcd_endpoints", refused.stderr)
        self.assertFalse(self.n1.status()["in_cluster"])
        self.etcd.start()
        self.n1.cli("cluster", "init")
        second = self.n2.cli("cluster", "init", check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("a cluster has its facts under '/our/llms/'", second.stderr)
        self.assertFalse(self.n2.status()["in_cluster"])
        self.assertIn(PREFIX + "data//nodes/n1", self.etcd.keys(PREFIX))
        # Without its etcd in the configuration, a voter says what it lacks.
        self.n1.stop()
        for name in list(self.reach):
            del self.n1.environment[name]
        with self.assertRaises(AssertionError):
            self.n1.start()
        self.assertIn("cluster.etcd_endpoints must name it", self.n1.log())
        self.n1.environment.update(self.reach)
        self.n1.start()
        self.n1.wait_until(lambda: self.n1.status()["majority"], "it is a voter again")


if __name__ == "__main__":
    cases.main()
