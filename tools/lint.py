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
NOT_CHECKED = ("_test.cpp", "_fuzz.cpp", "_bench.cpp")


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else str(part).encode())
    return total.hexdigest()


@functools.cache
def included(path, root):
    """The files below root that this one includes, directly or not, itself among them."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for name in re.findall(r'^#include "([^"]+)"', current.read_text(errors="replace"), re.M):
            if (root / name).is_file():
                waiting.append(root / name)
    return sorted(found)


def check(path, rules):
    stamp = PASSED / digest(rules, path.relative_to(ROOT),
                            *[part.read_bytes() for part in included(path, ROOT / "src")])
    if stamp.exists():
        return path, 0, ""
    result = subprocess.run(["clang-tidy-19", "-p", str(BUILD), "--quiet", str(path)],
                            capture_output=True, text=True, errors="replace")
    if result.returncode == 0:
        stamp.touch()
    return path, result.returncode, result.stdout


def precompiled_headers():
    """The files to check, each with the name of the precompiled header (cmake/pch/) its command
    reads, if any: clang-tidy reads it too, so it has to be built before."""
    headers = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if ROOT / "src" in path.parents and not path.name.endswith(NOT_CHECKED):
            found = re.search(r"om_pch_(\w+)\.dir", entry["command"])
            headers[path] = found[1] if found else None
    return headers


@functools.cache
def rules_of(header):
    # The other headers in it are among those that the files themselves include.
    parts = included(ROOT / f"cmake/pch/{header}.h", ROOT) if header else []
    return digest((ROOT / ".clang-tidy").read_bytes(), *[part.read_bytes() for part in parts])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("rooms", nargs="*", help="folders of src/; all if none is named")
    arguments = parser.parse_args()
    PASSED.mkdir(parents=True, exist_ok=True)
    headers = precompiled_headers()
    files = sorted(headers)
    if arguments.rooms:
        files = [path for path in files
                 if path.relative_to(ROOT / "src").parts[0] in arguments.rooms]
    targets = sorted({f"om_pch_{headers[path]}" for path in files if headers[path]})
    subprocess.run(["ninja", "-C", str(BUILD), *targets], check=True, stdout=subprocess.DEVNULL)

    def look_at(path):
        return check(path, rules_of(headers[path]))

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
