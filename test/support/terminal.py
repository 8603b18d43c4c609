"""A program on a terminal, for tests."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time


class Terminal:
    """A program on a terminal: what a person types and sees."""

    def __init__(self, arguments, environment):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(arguments, env={**environment, "TERM": "xterm"},
                                        stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(
                                            0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if match := re.search(pattern, self.seen, re.S):
                self.seen = self.seen[match.end():]
                return match
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        raise AssertionError(f"never seen: {pattern}\nseen: {self.seen[-2000:]!r}")

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
