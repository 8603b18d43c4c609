"""A registry with a login as ollama.com has it, on one address: docker-registry behind a front that
also gives out tokens, to whoever signs the request with a key that it knows."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import certificate
from parts import Registry
from proxy import PIECE, send_on

SERVICE, ISSUER = "registry.test", "tokens.test"
AGE_MAX_SECONDS = 300
# RFC 8410: what stands before the 32 bytes of a public key.
ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")


def url_base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*words, data=b""):
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=False)


def is_signed(public_base64, signature_base64, text):
    """Whether the owner of an OpenSSH ed25519 key has signed the text."""
    blob = base64.b64decode(public_base64)
    kind = b"ssh-ed25519"
    if blob[:15] != len(kind).to_bytes(4, "big") + kind or len(blob) != 51:
        return False
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("key", ED25519_HEAD + blob[-32:]), ("text", text.encode()),
                           ("signature", base64.b64decode(signature_base64))):
            with open(f"{folder}/{name}", "wb") as file:
                file.write(data)
        return openssl("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey",
                       f"{folder}/key", "-rawin", "-in", f"{folder}/text", "-sigfile",
                       f"{folder}/signature").returncode == 0


def raw_signature(der):
    """The two numbers of an ECDSA signature, 32 bytes each (RFC 7518, 3.4)."""
    raw, at = b"", 2
    for _ in range(2):
        length = der[at + 1]
        raw += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return raw


class TokenRegistry:
    """`known`: the public keys (base64) that are let in. `given`: the scopes of each token;
    `refused`: why, for each request without one."""

    def __init__(self, folder):
        self.known, self.given, self.refused = set(), [], []
        self.pair = folder / "pair.pem"
        certificate.make(self.pair, "127.0.0.1")
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one(self):
                if urlsplit(self.path).path == "/token":
                    registry.answer(self)
                    return
                left = int(self.headers.get("Content-Length") or 0)
                pieces = (self.rfile.read(min(PIECE, left - at)) for at in range(0, left, PIECE))
                send_on(self, registry.backend.port, self.path, pieces)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_one

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.backend = Registry(folder, auth=(
            f"auth: {{token: {{realm: 'http://{self.host}/token', service: {SERVICE}, "
            f"issuer: {ISSUER}, rootcertbundle: {self.pair}}}}}\n"))

    def why_not(self, handler):
        """What is wrong with a request for a token; None: nothing."""
        key, _, signature = (handler.headers.get("Authorization") or "").partition(":")
        query = parse_qs(urlsplit(handler.path).query)
        empty = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
        url = f"http://{handler.headers['Host']}{handler.path}"
        if query.get("service") != [SERVICE] or not query.get("nonce"):
            return "no service or nonce"
        if abs(time.time() - int(query.get("ts", ["0"])[0])) > AGE_MAX_SECONDS:
            return "too old"
        if not signature or not is_signed(key, signature, f"GET,{url},{empty}"):
            return "not signed"
        return None if key in self.known else "unknown key"

    def answer(self, handler):
        why = self.why_not(handler)
        if why:
            self.refused.append(why)
            status, body = 401, {"errors": [{"code": "UNAUTHORIZED", "message": why}]}
        else:
            scopes = parse_qs(urlsplit(handler.path).query).get("scope", [])
            self.given.append(scopes)
            status, body = 200, {"token": self.token(scopes)}
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def token(self, scopes):
        """A JSON web token that lets its bearer do what the scopes say (RFC 7519, ES256)."""
        der = openssl("x509", "-in", str(self.pair), "-outform", "DER").stdout
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        head = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": ISSUER, "sub": "", "aud": SERVICE, "nbf": now - 10, "iat": now,
                  "exp": now + 300, "jti": os.urandom(8).hex(), "access": access}
        text = ".".join(url_base64(json.dumps(part).encode()) for part in (head, claims))
        signed = openssl("dgst", "-sha256", "-sign", str(self.pair), data=text.encode())
        return text + "." + url_base64(raw_signature(signed.stdout))

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.backend.stop()
