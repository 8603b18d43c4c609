"""An HTTP proxy that finds every name on this machine, and remembers what it was asked.

Requests that are not encrypted are passed on when they have come whole, as web servers do that
stand before a registry; or as they come, if `passes_on_pieces`. Their bodies are counted, slowed
down and cut as the tests say.
"""

import base64
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


PIECE = 1 << 16


class Cut(Exception):
    """The link is to break here, or the client has left."""


def head_of(handler, path):
    head = f"{handler.command} {path} HTTP/1.1\r\nConnection: close\r\n"
    for name, value in handler.headers.items():
        if name != "Connection" and not name.startswith("Proxy-"):
            head += f"{name}: {value}\r\n"
    return head.encode() + b"\r\n"


def send_on(handler, port, path, pieces):
    """Passes a request on to a server of this machine, and its answer back."""
    with socket.create_connection(("127.0.0.1", port)) as there:
        there.sendall(head_of(handler, path))
        for piece in pieces:
            there.sendall(piece)
        while data := there.recv(PIECE):
            handler.wfile.write(data)
    handler.close_connection = True


class Proxy:
    """`login`: "user:password" that it wants. `asked`: method and "host:port" of each request.
    `rate`: bytes of bodies per second, 0 for all. `cut_at`: breaks the link when so many bytes have
    been `sent` in all, once. `taken`: the bodies that came whole, as (method, length); `coming`:
    how much there is of the one that was heard of last."""

    def __init__(self, login=None):
        self.asked, self.refused, self.taken = [], 0, []
        self.rate = self.cut_at = self.sent = self.coming = 0
        self.passes_on_pieces = False
        wanted = login and "Basic " + base64.b64encode(login.encode()).decode()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def is_let_in(self):
                if not wanted or self.headers.get("Proxy-Authorization") == wanted:
                    return True
                proxy.refused += 1
                self.send_response(407)
                self.send_header("Proxy-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return False

            def do_CONNECT(self):
                if not self.is_let_in():
                    return
                proxy.asked.append(("CONNECT", self.path))
                with socket.create_connection(("127.0.0.1", int(self.path.split(":")[1]))) as there:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    self.pass_on(there)
                self.close_connection = True

            def pieces(self):
                left = length = int(self.headers.get("Content-Length") or 0)
                while left > 0:
                    piece = self.rfile.read(min(left, PIECE))
                    left -= len(piece)
                    proxy.sent += len(piece)
                    proxy.coming = length - left
                    if not piece or 0 < proxy.cut_at <= proxy.sent:
                        proxy.cut_at = 0
                        raise Cut
                    if proxy.rate:
                        time.sleep(len(piece) / proxy.rate)
                    yield piece
                proxy.taken.append((self.command, length))

            def forward(self):
                if not self.is_let_in():
                    return
                url = urlsplit(self.path)
                proxy.asked.append((self.command, url.netloc))
                path = url.path + ("?" + url.query if url.query else "")
                pieces = self.pieces()
                try:
                    send_on(self, url.port or 80, path,
                            pieces if proxy.passes_on_pieces else list(pieces))
                except Cut:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = forward

            def pass_on(self, there):
                ends = {self.connection: there, there: self.connection}
                while True:
                    for end in select.select(list(ends), [], [])[0]:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        ends[end].sendall(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
