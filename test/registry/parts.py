"""What the tests of this folder share: a registry, a node, and a model that one has."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import gguf
from gate import Gate
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("OLLAMAMAX", str(ROOT / "build/release/ollamamax"))
LLAMA = str(pathlib.Path.home() / ".cache/ollamamax/llama/current")
MEGA = 1 << 20
WEIGHT_BYTES = 160 * MEGA
REFETCH_MAX = 16 * MEGA


def wait_for(what, check, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if check():
                return
        time.sleep(0.02)
    raise AssertionError(f"{what}: nothing after {seconds} s")


def get(url, context=None):
    with urllib.request.urlopen(url, timeout=30, context=context) as reply:
        return reply.read()


def answers(url, context=None):
    """Also with an error: it wants a login."""
    try:
        get(url, context)
    except urllib.error.HTTPError:
        pass
    return True


class Registry:
    """docker-registry on a folder of its own; with TLS if there is a `certificate` with its key,
    with a login if `auth` says of whom."""

    def __init__(self, folder, certificate=None, auth=""):
        self.folder = folder
        self.port = free_port()
        tls = f", tls: {{certificate: {certificate}, key: {certificate}}}" if certificate else ""
        config = folder / "config.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'{tls}}}\n{auth}")
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)],
                                        stdout=self.log, stderr=self.log)
        url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/v2/"
        trusting = ssl._create_unverified_context() if certificate else None
        wait_for("docker-registry", lambda: answers(url, trusting))

    def blob_file(self, digest):
        hex_digits = digest.split(":")[1]
        return (self.folder / "data/docker/registry/v2/blobs/sha256" / hex_digits[:2] /
                hex_digits / "data")

    def manifest(self, name):
        model, tag = name.split("/", 1)[1].split(":")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/{model}/manifests/{tag}",
            headers={"Accept": "application/vnd.docker.distribution.manifest.v2+json"})
        return urllib.request.urlopen(request, timeout=30).read()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Node:
    """`ollamamax serve` on a models folder."""

    def __init__(self, home, models, **environment):
        self.home, self.models, self.environment = home, models, environment
        self.port = free_port()
        self.start()

    def start(self):
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith("OLLAMA") and not k.upper().endswith("_PROXY")}
        environment.setdefault("OLLAMAMAX_LLAMA_DIR", LLAMA)  # HOME is not the user's below.
        environment |= {"HOME": str(self.home), "OLLAMA_MODELS": str(self.models),
                        "OLLAMA_HOST": f"127.0.0.1:{self.port}"} | self.environment
        self.log = open(self.home / "serve.log", "ab")
        self.process = subprocess.Popen([PROGRAM, "serve"], env=environment, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        try:
            wait_for("ollamamax serve", lambda: get(self.url("/api/version")) is not None)
        except AssertionError:
            self.stop()
            raise

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def post(self, path, body, method="POST"):
        """The reply's lines; an error status is the line that came with it."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url(path), data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as reply:
                text = reply.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def begin(self, what, name):
        """Begins a pull or push and returns the connection that streams it."""
        body = json.dumps({"model": name, "insecure": True}).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=300)
        connection.sendall(b"POST /api/" + what.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                           b"Content-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return connection

    def names(self):
        return [model["name"] for model in json.loads(get(self.url("/api/tags")))["models"]]

    def blobs(self):
        return sorted(path.name for path in (self.models / "blobs").iterdir())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class World:
    """What the tests share: a registry behind a gate that has one large model, and a node."""

    def __init__(self, folder):
        self.folder = folder
        for part in ("registry", "home", "models"):
            (folder / part).mkdir()
        self.registry = Registry(folder / "registry")
        self.gate = Gate(self.registry.port)
        try:
            self.node = Node(folder / "home", folder / "models")
        except AssertionError:
            self.registry.stop()
            print((folder / "home/serve.log").read_text(errors="replace")[-4000:])
            raise
        self.name = f"127.0.0.1:{self.gate.port}/test/model:latest"
        self.weights = folder / "weights.gguf"
        gguf.make(self.weights, WEIGHT_BYTES)
        self.digest = "sha256:" + hashlib.file_digest(self.weights.open("rb"), "sha256").hexdigest()

    def pull(self, node=None, name=None):
        return (node or self.node).post("/api/pull", {"model": name or self.name, "insecure": True})

    def forget_model(self):
        if self.name in self.node.names():
            assert self.node.post("/api/delete", {"model": self.name}, "DELETE") == []
        assert self.node.blobs() == [], self.node.blobs()

    def stop(self):
        self.node.stop()
        self.registry.stop()


def blob_hash(node, digest):
    path = node.models / "blobs" / digest.replace(":", "-")
    return "sha256:" + hashlib.file_digest(path.open("rb"), "sha256").hexdigest()


def assert_success(lines):
    assert lines and lines[-1] == {"status": "success"}, lines[-3:]


@contextlib.contextmanager
def node_behind(proxy, folder, login="", **more):
    """A node with a proxy for all outside; `registry.test` is a name that only that one knows."""
    address = f"http://{login}127.0.0.1:{proxy.port}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    node = Node(folder, folder / "models", HTTPS_PROXY=address, http_proxy=address, **more)
    try:
        yield node
    finally:
        node.stop()
