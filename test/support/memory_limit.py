"""A memory limit of the kernel for one node of a test (a control group, version 1 or 2).

    limit = MemoryLimit("n1", 300 << 20)
    subprocess.run(limit.command(["program"]))
    limit.remove()

Needs root. Nothing but the groups made here is touched.
"""

import os
import pathlib
import re

ROOT = pathlib.Path("/sys/fs/cgroup")


def in_group(folder, line):
    """The shell enters the group and becomes the program."""
    return ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh", *line]


def memory_total():
    """What a node takes for this machine's memory: a container may have less than all of it."""
    total = int(re.search(r"MemTotal: +(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) * 1024
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = ROOT / "memory" if controllers else ROOT
        own = root / path.strip("/")
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        for folder in (own, *own.parents):
            file = folder / name
            if not folder.is_relative_to(root) or not file.exists():
                continue
            if (limit := file.read_text().strip()) != "max":
                total = min(total, int(limit))
    return total


class MemoryLimit:
    def __init__(self, name, size):
        version1 = (ROOT / "memory").is_dir()
        self.folder = (ROOT / "memory" if version1 else ROOT) / f"omtest-{os.getpid()}-{name}"
        self.folder.mkdir()
        limit = "memory.limit_in_bytes" if version1 else "memory.max"
        (self.folder / limit).write_text(str(size))
        self.peak_file = self.folder / ("memory.max_usage_in_bytes" if version1 else "memory.peak")

    def command(self, line):
        return in_group(self.folder, line)

    def killed(self):
        """How often the kernel ended a process here for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            file = self.folder / name
            if file.exists():
                for line in file.read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def remove(self):
        self.folder.rmdir()
