"""Login at a real registry: the node signs with its key, as at ollama.com, and gets a token."""

import contextlib
import hashlib
import time
import urllib.error
import urllib.request

import gguf
from parts import MEGA, Node, assert_success, blob_hash
from token_server import SERVICE, TokenRegistry


@contextlib.contextmanager
def registry_and_nodes(world, name, count):
    """A registry that wants a login, and nodes with keys of their own, all with its model."""
    folder = world.folder / name
    folder.mkdir()
    weights = folder / "small.gguf"
    gguf.make(weights, 4 * MEGA)
    digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    registry = TokenRegistry(folder)
    nodes = []
    try:
        for number in range(count):
            home = folder / f"home-{number}"
            home.mkdir()
            nodes.append(Node(home, home / "models"))
            nodes[-1].post("/api/blobs/" + digest, weights.read_bytes())
            assert_success(nodes[-1].post("/api/create", {
                "model": model_at(registry), "files": {"small.gguf": digest}}))
        yield registry, nodes, digest
    finally:
        for node in nodes:
            node.stop()
        registry.stop()


def model_at(registry):
    return f"{registry.host}/test/small:latest"


def move(node, what, registry):
    return node.post(f"/api/{what}", {"model": model_at(registry), "insecure": True})


def public_key(node):
    (file,) = node.home.rglob("id_ed25519.pub")
    return file.read_text().split()[1]


def denies(lines, node):
    """The last of a transfer's lines, with what its owner has to do about it."""
    said = lines[-1]["error"]
    key = ".pub): ssh-ed25519 " + public_key(node)
    return "unauthorized: access denied; " in said and said.endswith(key)


def test_pushes_and_pulls_with_a_token_that_its_key_brings(world):
    with registry_and_nodes(world, "login", 1) as (registry, (node,), digest):
        refusal = move(node, "push", registry)
        assert denies(refusal, node), refusal
        assert set(registry.refused) == {"unknown key"}, registry.refused  # But well signed.
        registry.known.add(public_key(node))
        assert_success(move(node, "push", registry))
        assert any("repository:test/small:pull,push" in scopes or
                   "repository:test/small:push,pull" in scopes for scopes in registry.given)
        assert node.post("/api/delete", {"model": model_at(registry)}, "DELETE") == []
        assert node.blobs() == []
        registry.given.clear()
        assert_success(move(node, "pull", registry))
        assert ["repository:test/small:pull"] in registry.given, registry.given
        assert blob_hash(node, digest) == digest


def test_says_that_a_wrong_key_is_refused(world):
    with registry_and_nodes(world, "wrong-key", 2) as (registry, (known, stranger), digest):
        move(known, "push", registry)
        registry.known.add(public_key(known))
        assert_success(move(known, "push", registry))
        for what in ("push", "pull"):
            lines = move(stranger, what, registry)
            assert denies(lines, stranger), lines
        assert registry.refused[-1] == "unknown key"
        # Who shows a known key without having it is refused as well, by the signature.
        status, why = ask_for_a_token(registry, public_key(known) + ":" + "A" * 86 + "==")
        assert (status, why) == (401, "not signed"), (status, why)
        assert registry.backend.blob_file(digest).exists()


def ask_for_a_token(registry, authorization):
    query = f"service={SERVICE}&scope=repository:test/small:pull&ts={int(time.time())}&nonce=n"
    request = urllib.request.Request(f"http://{registry.host}/token?{query}",
                                     headers={"Authorization": authorization})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, None
    except urllib.error.HTTPError as error:
        return error.code, registry.refused[-1]
