"""A memory limit of the kernel for one node of a test (a control group, version 1 or 2).

    limit = MemoryLimit("n1", 300 << 20)
    subprocess.run(limit.command(["program"]))
    limit.remove()

Needs root. Nothing but the groups made here is touched.
"""

import os
import pathlib

ROOT = pathlib.Path("/sys/fs/cgroup")


def in_group(folder, line):
    """The shell enters the group and becomes the program."""
    return ["sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh", *line]


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
