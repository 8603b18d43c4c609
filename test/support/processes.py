"""Processes of this machine, from /proc."""

import contextlib
import pathlib
import re


def descendants(pid):
    """All processes below this one."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, AttributeError):
                parent = re.match(r"\d+ \(.*\) \S (\d+)", (entry / "stat").read_text()).group(1)
                parents.setdefault(int(parent), []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        below = parents.get(open_.pop(), [])
        found += below
        open_ += below
    return found


def proportional_megabytes(pid):
    """Its memory; of what it shares with others, its part (PSS)."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss:\s+(\d+)", rollup)[1]) / 1024
