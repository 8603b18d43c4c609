"""A registry that has one model for each way to treat those who ask for its bytes."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENDLESS_MAX = 1 << 30  # Whoever reads that much never stops.
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Repository:
    """`way`: how its weights, or its manifest, are sent; "honest" mends it."""

    def __init__(self, way, weights):
        self.way, self.weights, self.sent, self.last_sent = way, weights, 0, time.monotonic()
        self.digest = digest_of(weights)
        self.config = json.dumps({"model_format": "gguf", "model_family": "llama",
                                  "way": way}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json",
                       "digest": digest_of(self.config), "size": len(self.config)},
            "layers": [{"mediaType": "application/vnd.ollama.image.model",
                        "digest": self.digest, "size": len(weights)}]}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.split("/")
        self.repository = self.server.repositories.get("/".join(parts[2:4]))
        if self.repository is None or len(parts) < 6:
            return self.whole(b"{}", 404 if len(parts) > 3 else 200)
        if parts[4] == "manifests":
            if self.repository.way == "endless manifest":
                return self.endless(b" ")
            return self.whole(self.repository.manifest)
        if parts[5] == self.repository.digest:
            return self.weights()
        return self.whole(self.repository.config)

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def whole(self, data, status=200):
        self.head(status, {"Content-Length": len(data), "Content-Type": MANIFEST})
        self.send(data)

    def send(self, data):
        if self.command == "HEAD":
            return
        self.wfile.write(data)
        self.wfile.flush()
        if hasattr(self.repository, "sent"):
            self.repository.sent += len(data)
            self.repository.last_sent = time.monotonic()

    def endless(self, piece, status=200, headers=None):
        self.head(status, {**(headers or {}), "Transfer-Encoding": "chunked"})
        piece *= 65536
        for _ in range(ENDLESS_MAX // len(piece)):
            self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    def weights(self):
        data, way = self.repository.weights, self.repository.way
        if way == "wrong":
            data = bytes(byte ^ (at % 4096 == 0) for at, byte in enumerate(data))
        if way == "shorter":
            data = data[:len(data) // 2]
        first, last, status, headers = 0, len(data) - 1, 200, {}
        if asked := self.headers.get("Range"):
            first, _, end = asked.removeprefix("bytes=").partition("-")
            first = int(first)
            last = min(int(end or last), last)
            if first > last:
                return self.whole(b"", 416)
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        if way == "endless":
            return self.endless(b"\0")
        if way == "endless range":
            return self.endless(b"\0", status, headers)
        data = data[first:last + 1]
        self.head(status, {**headers, "Content-Length": len(data)})
        self.close_connection = way != "honest"
        if way == "cut off":
            self.send(data[:1000])
        elif way == "slow":
            for at in range(len(data)):
                self.send(data[at:at + 1])
                if self.server.over.wait(1):
                    return None
        elif way == "silent":
            self.send(data[:100_000])
            self.server.over.wait(300)
        else:
            self.send(data)
        return None


class HostileRegistry:
    """`weights(way)`: the bytes of that way's model."""

    def __init__(self, ways, weights):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # Who asked has hung up.
        self.server.over = threading.Event()
        self.server.repositories = {
            f"test/{way.replace(' ', '-')}": Repository(way, weights(way)) for way in ways}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def repository(self, way):
        return self.server.repositories[f"test/{way.replace(' ', '-')}"]

    def name(self, way):
        return f"127.0.0.1:{self.server.server_address[1]}/test/{way.replace(' ', '-')}:latest"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.over.set()
        self.server.shutdown()
        self.server.server_close()
