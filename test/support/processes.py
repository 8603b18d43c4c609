"""Processes of this machine, from /proc."""

import contextlib
import os
import pathlib
import re
import typing


class Process(typing.NamedTuple):
    pid: int
    parent: int
    name: str         # As the kernel knows it: 15 letters at most.
    has_ended: bool   # It waits to be collected, and has no arguments any more.
    arguments: list[str]

    @property
    def program(self):
        return pathlib.PurePath(self.arguments[0]).name


def processes():
    """All that there are; one that ends while it is read is left out."""
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        found = None
        with contextlib.suppress(OSError):
            name, state, parent = re.match(r"\d+ \((.*)\) (\S) (\d+)",
                                           (entry / "stat").read_text(errors="replace"),
                                           re.DOTALL).groups()
            arguments = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
            found = Process(int(entry.name), int(parent), name, state == "Z", arguments)
        if found:
            yield found


def descendants(pid):
    """All processes below this one."""
    children = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process.pid)
    found, open_ = [], [pid]
    while open_:
        below = children.get(open_.pop(), [])
        found += below
        open_ += below
    return found


def proportional_megabytes(pid):
    """Its memory; of what it shares with others, its part (PSS)."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss:\s+(\d+)", rollup)[1]) / 1024
