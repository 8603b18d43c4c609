"""A model from a slow registry to several nodes of a cluster, for bench/copy.

The registry is nginx (static files, sendfile) behind a gate of a fixed rate that counts what comes
through it. Rival: the same machines each copy the blob from there with curl. The ideal is one copy
of the blob at the gate's rate, however many want it.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import common

sys.path.append(str(common.ROOT / "test/registry"))
import gguf  # noqa: E402
from support import cluster as clusters  # noqa: E402
from support import gate as gates  # noqa: E402

NODES = 7
BLOB = 128 << 20
RATE = 16 << 20  # Bytes a second of the registry.
NGINX_PORT, GATE_PORT = 19821, 19822
NGINX_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  sendfile on; tcp_nopush on;
  server {{ listen 127.0.0.1:{port}; root {dir}; }}
}}
"""


def publish(directory):
    """A model as static files in the registry's layout; the digest of its weights."""
    path = pathlib.Path(directory) / "weights"
    gguf.make(path, BLOB)
    config = json.dumps({"model_format": "gguf", "model_family": "llama", "model_type": "1B",
                         "file_type": "F32"}).encode()
    blobs = pathlib.Path(directory) / "v2/library/big/blobs"
    blobs.mkdir(parents=True)
    with open(path, "rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    path.rename(blobs / digest)
    config_digest = "sha256:" + hashlib.sha256(config).hexdigest()
    (blobs / config_digest).write_bytes(config)
    manifests = pathlib.Path(directory) / "v2/library/big/manifests"
    manifests.mkdir()
    (manifests / "latest").write_text(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                   "digest": config_digest, "size": len(config)},
        "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest,
                    "size": (blobs / digest).stat().st_size}]}))
    return digest


def at_once(work, items):
    """Seconds until all are done."""
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(items)) as pool:
        list(pool.map(work, items))
    return time.monotonic() - begun


def holds(node, digest):
    name = digest.replace(":", "-")
    return (pathlib.Path(node.environment["OLLAMA_MODELS"]) / "blobs" / name).exists()


def pull(cluster, gate, digest, count):
    """All of the first `count` nodes pull at once; seconds and bytes drawn from the registry."""
    model = f"{gate.host}:{gate.port}/library/big"
    before = gate.received

    def one(node):
        last = node.post("/api/pull", {"model": model, "insecure": True}, timeout=600)
        if last.get("status") != "success":
            sys.exit(f"{node.name}: {last}")
    seconds = at_once(one, cluster.nodes[:count])
    drawn = gate.received - before
    missing = [node.name for node in cluster.nodes[:count] if not holds(node, digest)]
    if missing:
        sys.exit(f"not on the disk of {missing}")
    cluster.nodes[0].request("DELETE", "/api/delete", {"model": model}).close()
    for node in cluster.nodes:
        node.wait_until(lambda node=node: not holds(node, digest), "the model is gone again")
    return seconds, drawn


def curl(cluster, gate, digest, count):
    url = f"http://{gate.host}:{gate.port}/v2/library/big/blobs/{digest}"
    before = gate.received

    def one(node):
        target = node.folder / "copied"
        subprocess.run(node.command(["curl", "-sS", "-f", "-o", str(target), url]), check=True)
        target.unlink()
    seconds = at_once(one, cluster.nodes[:count])
    return seconds, gate.received - before


def report(count, rounds, size):
    ideal = size / RATE
    rows = []
    for name, results in rounds.items():
        seconds = [second for second, _ in results]
        drawn = [bytes_drawn / size for _, bytes_drawn in results]
        rows.append([name, f"{common.median(seconds):.1f}", common.spread(seconds),
                     f"{common.median(seconds) / ideal:.2f}", f"{max(drawn):.2f}"])
    common.table([f"registry to {count}", "s", "from..to", "times the ideal",
                   "times the blob drawn"], rows)
    ours, theirs = rounds["nodes"], rounds["curl from nginx"]
    times = common.median([second for second, _ in ours]) / ideal
    drawn = max(bytes_drawn / size for _, bytes_drawn in ours)
    rival = common.median([second for second, _ in theirs]) / ideal
    # Heads, manifests and the config come through the gate too.
    common.figure(f"model from a slow registry to {count} node{'s' if count > 1 else ''} at once",
                   f"{times:.2f} times the ideal; one-source copies {rival:.2f}")
    common.figure(f"drawn from the registry for {count} node{'s' if count > 1 else ''}",
                   f"{drawn:.3f} times the blob", "1.0", drawn < 1.01)


def main(rounds):
    nginx = common.need("nginx", "nginx-light")
    common.need("curl", "curl")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        config = pathlib.Path(directory) / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(dir=directory, port=NGINX_PORT))
        digest = publish(directory)
        size = (pathlib.Path(directory) / "v2/library/big/blobs" / digest).stat().st_size
        with clusters.Cluster(NODES) as cluster:
            origin = common.start([nginx, "-c", str(config), "-p", directory], NGINX_PORT)
            gate = gates.Gate(NGINX_PORT, cluster.network.address(NODES), GATE_PORT, RATE)
            try:
                cluster.form()
                # No copies but those that are asked for.
                cluster.nodes[0].cli("replicas", "set", "--factor", "1", "--popular-extra", "0")
                for count in (1, NODES):
                    results = {"nodes": [], "curl from nginx": []}
                    for _ in range(rounds):
                        results["nodes"].append(pull(cluster, gate, digest, count))
                        results["curl from nginx"].append(curl(cluster, gate, digest, count))
                    report(count, results, size)
            finally:
                common.end([origin])
                gate.close()
