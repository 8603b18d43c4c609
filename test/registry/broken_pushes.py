"""Pushes that break: killed, or with the link cut. What the registry has is not sent again."""

import contextlib
import json

from parts import MEGA, WEIGHT_BYTES, assert_success, node_behind, wait_for
from proxy import Proxy

PART_BYTES = 16 * MEGA


@contextlib.contextmanager
def ready_to_push(world, model):
    """A node that has a model, a proxy between it and the registry, and the model's name. The
    proxy's name for the registry is known to nobody else: all goes through it."""
    proxy = Proxy()
    try:
        with node_behind(proxy, world.folder / model) as node:
            node.post("/api/blobs/" + world.digest, world.weights.read_bytes())
            name = f"registry.test:{world.registry.port}/test/{model}:latest"
            assert_success(node.post("/api/create", {
                "model": name, "files": {"weights.gguf": world.digest}, "system": "Be brief."}))
            yield node, proxy, name
    finally:
        proxy.stop()


def push(node, name):
    return node.post("/api/push", {"model": "http://" + name, "insecure": True})


def remembered(node):
    (file,) = node.home.rglob("uploads.json")
    return json.loads(file.read_text()), file


def bytes_of(world, name):
    """Of the layers and the config, as the registry has them under the name."""
    manifest = json.loads(world.registry.manifest(name))
    return sum(part["size"] for part in manifest["layers"] + [manifest["config"]])


def kill_in_mid_push(node, proxy, name, parts):
    """Kills it when the registry has so many parts, and some of the next one is on its way."""
    connection = node.begin("push", "http://" + name)

    def is_in_mid_part():
        whole = sum(length == PART_BYTES for _, length in proxy.taken)
        return whole >= parts and PART_BYTES / 8 < proxy.coming < PART_BYTES / 2

    wait_for("the push", is_in_mid_part, 120)
    node.kill()
    connection.close()


def test_goes_on_after_kill_9_in_mid_push(world):
    with ready_to_push(world, "killed") as (node, proxy, name):
        proxy.rate = 30 * MEGA
        for parts in (3, 6):
            kill_in_mid_push(node, proxy, name, parts)
            uploads, file = remembered(node)
            assert [world.digest in upload["blob"] for upload in uploads] == [True], uploads
            assert file.stat().st_mode & 0o777 == 0o600, oct(file.stat().st_mode)
            node.start()
        proxy.rate = 0
        assert_success(push(node, name))
        assert remembered(node)[0] == []
        # Each kill costs the part that was on its way.
        twice = proxy.sent - bytes_of(world, name)
        assert 0 <= twice <= 2 * PART_BYTES, f"{twice / MEGA:.1f} MiB sent twice"
        whole = sum(length for method, length in proxy.taken if method == "PATCH")
        assert whole == bytes_of(world, name), "a part that had come was sent again"
        assert world.digest in world.registry.manifest(name).decode()
        print(f"      {twice / MEGA:.1f} MiB sent twice after two kills", flush=True)


def test_goes_on_where_the_link_was_cut_within_one_push(world):
    with ready_to_push(world, "cut") as (node, proxy, name):
        proxy.rate = 60 * MEGA
        proxy.cut_at = 3 * PART_BYTES + 5 * MEGA
        connection = node.begin("push", "http://" + name)
        wait_for("the first cut", lambda: proxy.cut_at == 0, 120)
        proxy.cut_at = proxy.sent + 3 * PART_BYTES
        lines = b""  # The last ones.
        while b'"success"' not in lines and b'"error"' not in lines:
            part = connection.recv(1 << 16)
            assert part, lines
            lines = lines[-100:] + part
        connection.close()
        assert b'{"status":"success"}' in lines, lines[-500:]
        assert proxy.cut_at == 0, "the second cut never came"
        twice = proxy.sent - bytes_of(world, name)
        assert 0 <= twice <= 2 * PART_BYTES, f"{twice / MEGA:.1f} MiB sent twice"


def test_begins_anew_where_the_registry_forgets_a_broken_upload(world):
    # docker-registry itself drops an upload of which it has other bytes than its last answer said.
    with ready_to_push(world, "forgotten") as (node, proxy, name):
        proxy.passes_on_pieces = True
        proxy.rate = 60 * MEGA
        kill_in_mid_push(node, proxy, name, 3)
        node.start()
        proxy.rate = 0
        assert_success(push(node, name))
        assert proxy.sent >= WEIGHT_BYTES + 3 * PART_BYTES
        assert remembered(node)[0] == []
        assert "upload begins anew" in (node.home / "serve.log").read_text()
        assert world.digest in world.registry.manifest(name).decode()
