"""A TCP gate before a server: counts what comes back through it, and slows it down."""

import socket
import threading
import time


class Gate:
    """Forwards to 127.0.0.1:`target`. `rate`: bytes per second back to the clients, which all
    connections share; 0 for all."""

    def __init__(self, target, address="127.0.0.1", port=0, rate=0):
        self.target = target
        self.rate = rate
        self.received = 0  # Bytes sent back to clients since the last reset.
        self._lock = threading.Lock()
        self._allowed = 0.0
        self._last = time.monotonic()
        self._listener = socket.create_server((address, port))
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # It was closed.
            # Else much of what counts as received lies in the kernel still.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _wait_for_turn(self, count):
        while self.rate:
            with self._lock:
                now = time.monotonic()
                self._allowed = min(self._allowed + (now - self._last) * self.rate, self.rate / 10)
                self._last = now
                if self._allowed >= 0:
                    self._allowed -= count
                    return
            time.sleep(0.005)

    def _pump(self, source, sink, counted):
        try:
            while data := source.recv(65536):
                if counted:
                    self._wait_for_turn(len(data))
                sink.sendall(data)
                if counted:
                    with self._lock:
                        self.received += len(data)
        except OSError:
            pass  # One side left: so does the other.
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        """Lets nobody in any more; who is in stays."""
        self._listener.close()
