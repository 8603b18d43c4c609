#!/usr/bin/env python3
"""Pull and push against a real registry (Debian's docker-registry), with kills and full disks.

Starts docker-registry and `ollamamax serve` (build/release/ollamamax, or $OLLAMAMAX), drives the
HTTP API, and prints `N passed, N failed`. Needs Python's standard library only, and root for the
full-disk test, which mounts a small tmpfs.
"""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import broken_pushes  # noqa: E402
import certificate  # noqa: E402
import gguf  # noqa: E402
import logins  # noqa: E402
from parts import (MEGA, PROGRAM, REFETCH_MAX, WEIGHT_BYTES, Node, Registry,  # noqa: E402
                   World, assert_success, blob_hash, get, node_behind, wait_for)
from proxy import Proxy  # noqa: E402


def test_creates_a_model_from_an_uploaded_file(world):
    data = world.weights.read_bytes()
    request = urllib.request.Request(world.node.url("/api/blobs/" + world.digest), data=data)
    with urllib.request.urlopen(request, timeout=120) as reply:
        assert reply.status == 201
    lines = world.node.post("/api/create", {
        "model": world.name, "files": {"weights.gguf": world.digest}, "system": "Be brief.",
        "parameters": {"temperature": 0.5}, "license": ["MIT"]})
    assert_success(lines)
    assert world.node.names() == [world.name]


def test_pushes_it_to_the_registry(world):
    lines = world.node.post("/api/push", {"model": world.name, "insecure": True})
    assert_success(lines)
    statuses = [line["status"] for line in lines]
    assert statuses[0] == "retrieving manifest" and "pushing manifest" in statuses
    layers = json.loads(world.registry.manifest(world.name))["layers"]
    assert world.digest in [layer["digest"] for layer in layers]
    stored = hashlib.file_digest(world.registry.blob_file(world.digest).open("rb"), "sha256")
    assert "sha256:" + stored.hexdigest() == world.digest


def test_pushes_nothing_twice(world):
    started = time.monotonic()
    assert_success(world.node.post("/api/push", {"model": world.name, "insecure": True}))
    assert time.monotonic() - started < 20


def test_deletes_it_with_its_blobs(world):
    world.forget_model()
    assert world.node.names() == []


def test_pulls_it_back_verbatim(world):
    lines = world.pull()
    assert_success(lines)
    statuses = list(dict.fromkeys(line["status"] for line in lines))
    assert statuses[0] == "pulling manifest", statuses
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"], statuses
    assert "pulling " + world.digest[7:19] in statuses, statuses
    assert blob_hash(world.node, world.digest) == world.digest
    host, rest = world.name.split("/", 1)
    path = world.node.models / "manifests" / host / rest.replace(":", "/")
    assert path.read_bytes() == world.registry.manifest(world.name)


def test_says_that_a_model_does_not_exist(world):
    lines = world.pull(name=f"127.0.0.1:{world.gate.port}/test/none:latest")
    assert lines[-1] == {"error": "pull model manifest: file does not exist"}, lines


def test_goes_on_after_kill_9_in_mid_pull(world):
    world.forget_model()
    world.gate.rate = 60 * MEGA
    world.gate.received = 0
    for stop_at in (40 * MEGA, 100 * MEGA):
        connection = world.node.begin("pull", world.name)
        wait_for("the pull", lambda limit=stop_at: world.gate.received > limit, 60)
        world.node.kill()
        connection.close()
        assert world.node.blobs() == [], "a half blob is visible"
        world.node.start()
        assert world.node.names() == []
    world.gate.rate = 0
    assert_success(world.pull())
    assert blob_hash(world.node, world.digest) == world.digest
    twice = world.gate.received - WEIGHT_BYTES
    # Two kills, and what lay in the gate's and the kernel's buffers at each.
    assert twice <= 2 * (REFETCH_MAX + 8 * MEGA), f"{twice / MEGA:.1f} MiB fetched twice"
    print(f"      {twice / MEGA:.1f} MiB fetched twice after two kills", flush=True)


def test_cancels_the_download_when_the_client_leaves(world):
    world.forget_model()
    world.gate.rate = 20 * MEGA
    world.gate.received = 0
    connection = world.node.begin("pull", world.name)
    wait_for("the pull", lambda: world.gate.received > 10 * MEGA)
    connection.close()

    def stands_still():
        before = world.gate.received
        time.sleep(1)
        return world.gate.received == before

    wait_for("the end of the download", stands_still)
    world.gate.rate = 0
    assert world.gate.received < WEIGHT_BYTES, "the download went on without anybody"
    assert_success(world.pull())


def test_keeps_nothing_of_a_corrupted_blob(world):
    world.forget_model()
    path = world.registry.blob_file(world.digest)
    flip_byte(path, WEIGHT_BYTES // 2)
    try:
        lines = world.pull()
    finally:
        flip_byte(path, WEIGHT_BYTES // 2)
    assert "digest mismatch, file must be downloaded again" in lines[-1].get("error", ""), lines[-1]
    assert world.node.names() == []
    assert "sha256-" + world.digest[7:] not in world.node.blobs()
    assert_success(world.pull())


def flip_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_says_so_when_the_disk_is_full_and_serves_on(world):
    disk = world.folder / "small-disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)],
                             capture_output=True, text=True, check=False)
    assert mounted.returncode == 0, (
        f"cannot mount a tmpfs as the small disk; this test needs root: {mounted.stderr.strip()}")
    home = world.folder / "home-2"
    home.mkdir()
    (disk / "models").mkdir()
    node = Node(home, disk / "models")
    try:
        error = world.pull(node)[-1].get("error", "")
        assert "not enough disk space" in error, error
        assert str(WEIGHT_BYTES // MEGA * MEGA)[:3] in error and "free" in error, error
        assert node.names() == [] and node.blobs() == []
        # The space goes while the blob is on its way.
        (disk / "filler").write_bytes(b"x" * (47 * MEGA))
        small = node.post("/api/blobs/" + world.digest, world.weights.read_bytes()[:8 * MEGA])
        assert "not enough disk space" in small[-1]["error"], small
        assert json.loads(get(node.url("/api/version")))["version"]
    finally:
        node.stop()
        subprocess.run(["umount", str(disk)], check=True)


def test_two_processes_share_one_models_folder(world):
    home = world.folder / "home-3"
    home.mkdir()
    other = Node(home, world.node.models)
    try:
        if world.name not in world.node.names():
            assert_success(world.pull())
        assert other.names() == world.node.names()
        assert world.node.post("/api/delete", {"model": world.name}, "DELETE") == []
        assert other.names() == []
        assert_success(world.pull(other))
        assert blob_hash(world.node, world.digest) == world.digest
    finally:
        other.stop()


def test_reaches_registries_through_a_proxy(world):
    folder = world.folder / "proxied"
    folder.mkdir()
    both = folder / "both.pem"
    certificate.make(both, "registry.test")
    weights = folder / "small.gguf"
    gguf.make(weights, 8 * MEGA)
    registry, proxy = Registry(folder, both), Proxy("me:two words")
    home, trust = folder / "home", {"SSL_CERT_FILE": str(both)}
    host = f"registry.test:{registry.port}"
    name = f"{host}/test/small:latest"
    try:
        with node_behind(proxy, home, "me:two%20words@", **trust) as node:
            digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
            node.post("/api/blobs/" + digest, weights.read_bytes())
            assert_success(node.post("/api/create", {"model": name,
                                                     "files": {"small.gguf": digest}}))
            assert_success(node.post("/api/push", {"model": name}))
            node.post("/api/delete", {"model": name}, "DELETE")
            assert node.blobs() == []
            assert_success(node.post("/api/pull", {"model": name}))
            assert blob_hash(node, digest) == digest
            assert set(proxy.asked) == {("CONNECT", host)}, proxy.asked
            host = f"registry.test:{world.registry.port}"
            plain = f"{host}/test/plain:latest"
            node.post("/api/copy", {"source": name, "destination": plain})
            for what in ("push", "pull"):
                assert_success(node.post(f"/api/{what}", {"model": "http://" + plain,
                                                          "insecure": True}))
            assert {("GET", host), ("PUT", host)} < set(proxy.asked), proxy.asked
            assert "two" not in (home / "serve.log").read_text()
        with node_behind(proxy, home, "me:wrong@", **trust) as node:
            error = node.post("/api/pull", {"model": name})[-1]["error"]
            assert "wants a login" in error and "407" in error, error
        asked = len(proxy.asked) + proxy.refused
        with node_behind(proxy, home, NO_PROXY="other.example, .test", **trust) as node:
            error = node.post("/api/pull", {"model": name})[-1]["error"]
            assert "lookup registry.test" in error, error
        assert asked == len(proxy.asked) + proxy.refused
    finally:
        proxy.stop()
        registry.stop()


TESTS = [value for part in (globals(), vars(broken_pushes), vars(logins))
         for key, value in list(part.items()) if key.startswith("test_")]


def main():
    for needed in ("docker-registry", PROGRAM):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is not there; run ./run build, or set OLLAMAMAX")
    wanted = sys.argv[1:]
    passed = failed = 0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="registry-test-"))
    world = World(folder)
    try:
        for test in TESTS:
            if wanted and not any(word in test.__name__ for word in wanted):
                continue
            started = time.monotonic()
            try:
                test(world)
                passed += 1
                verdict = "ok  "
            except Exception:  # Every kind of failure of a test is a failed test.
                traceback.print_exc()
                failed += 1
                verdict = "FAIL"
            seconds = time.monotonic() - started
            print(f"{verdict}  {test.__name__[5:]} ({seconds:.1f} s)", flush=True)
    finally:
        world.stop()
        if failed:
            print((folder / "home/serve.log").read_text(errors="replace")[-4000:])
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
