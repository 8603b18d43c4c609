"""An HTTP proxy that finds every name on this machine, and remembers what it was asked."""

import base64
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Proxy:
    """`login`: "user:password" that it wants. `asked`: method and "host:port" of each request."""

    def __init__(self, login=None):
        self.asked, self.refused = [], 0
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

            def forward(self):
                if not self.is_let_in():
                    return
                url = urlsplit(self.path)
                proxy.asked.append((self.command, url.netloc))
                length = int(self.headers.get("Content-Length") or 0)
                query = "?" + url.query if url.query else ""
                head = f"{self.command} {url.path}{query} HTTP/1.1\r\n"
                for name, value in self.headers.items():
                    if not name.startswith("Proxy-"):
                        head += f"{name}: {value}\r\n"
                with socket.create_connection(("127.0.0.1", url.port or 80)) as there:
                    there.sendall(head.encode() + b"Connection: close\r\n\r\n" +
                                  self.rfile.read(length))
                    while data := there.recv(1 << 16):
                        self.wfile.write(data)
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
