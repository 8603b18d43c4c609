#!/usr/bin/env python3
"""clang-tidy over the product's sources, two at a time.

A file that passed is not looked at again until it, a header it includes or the rules change: what
passed is remembered in the cache. `lint.py base io` looks at these rooms only.
"""

import argparse
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/asan"
CACHE = pathlib.Path(os.environ.get("OLLAMAMAX_CACHE", pathlib.Path.home() / ".cache/ollamamax"))
PASSED = CACHE / "lint"


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else str(part).encode())
    return total.hexdigest()


@functools.cache
def included(path):
    """The files of ours that this one includes, directly or not, itself among them."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for name in re.findall(r'^#include "([^"]+)"', current.read_text(errors="replace"), re.M):
            if (ROOT / "src" / name).is_file():
                waiting.append(ROOT / "src" / name)
    return sorted(found)


def check(path, rules):
    stamp = PASSED / digest(rules, path.relative_to(ROOT),
                            *[part.read_bytes() for part in included(path)])
    if stamp.exists():
        return path, 0, ""
    result = subprocess.run(["clang-tidy-19", "-p", str(BUILD), "--quiet", str(path)],
                            capture_output=True, text=True, errors="replace")
    if result.returncode == 0:
        stamp.touch()
    return path, result.returncode, result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("rooms", nargs="*", help="folders of src/; all if none is named")
    arguments = parser.parse_args()
    PASSED.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ninja", "-C", str(BUILD), "om_pch_lower", "om_pch_upper", "om_pch_app"],
                   check=True, stdout=subprocess.DEVNULL)
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    files = sorted({pathlib.Path(entry["file"]) for entry in commands})
    files = [path for path in files if (ROOT / "src") in path.parents
             and not path.name.endswith(("_test.cpp", "_fuzz.cpp", "_bench.cpp"))]
    if arguments.rooms:
        files = [path for path in files
                 if path.relative_to(ROOT / "src").parts[0] in arguments.rooms]
    rules = digest(*[(ROOT / path).read_bytes()
                     for path in (".clang-tidy", "cmake/pch/lower.h", "cmake/pch/upper.h")])
    app_rules = digest(rules, (ROOT / "cmake/pch/app.h").read_bytes())

    def look_at(path):
        is_app = ROOT / "src/app" in path.parents
        return check(path, app_rules if is_app else rules)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for path, code, output in pool.map(look_at, files):
            if code:
                failed += 1
                print(f"{path.relative_to(ROOT)}:\n{output[-3000:]}", flush=True)
    print(f"{len(files) - failed} passed, {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
