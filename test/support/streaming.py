"""Answers that are read while other things happen."""

import json
import threading
import time


class Streamed(threading.Thread):
    """One streamed answer, read line by line."""

    def __init__(self, node, path, body):
        super().__init__(daemon=True)
        self.node, self.path, self.body = node, path, {"stream": True, **body}
        self.lines, self.server, self.id, self.error = [], None, None, None
        self.gap = 0.0  # The longest pause between two lines, in seconds.
        self.start()

    def run(self):
        try:
            with self.node.request("POST", self.path, self.body) as reply:
                self.server = reply.headers["X-OllamaMax-Node"]
                self.id = reply.headers["X-Request-Id"]
                last = time.monotonic()
                for line in reply:
                    now = time.monotonic()
                    if self.lines:
                        self.gap = max(self.gap, now - last)
                    last = now
                    self.lines.append(json.loads(line))
        except Exception as error:  # noqa: BLE001: told in the test's own thread.
            self.error = error

    def wait_for(self, count):
        self.node.wait_until(lambda: len(self.lines) >= count or not self.is_alive(),
                             f"{count} lines of the answer")
        if self.error:
            raise self.error

    def finish(self):
        self.join(240)
        if self.is_alive():
            raise AssertionError(f"the answer never ended; {len(self.lines)} lines came")
        if self.error:
            raise self.error
        return self.lines

    def text(self):
        return "".join(line.get("response") or line.get("message", {}).get("content", "")
                       for line in self.lines)
