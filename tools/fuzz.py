#!/usr/bin/env python3
"""Builds the libFuzzer targets and runs each for a while, two at a time.

New inputs go to a cache outside the checkout; the corpus in test/corpus/ is what every build
replays. A crash prints its input's path and fails.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("OLLAMAMAX_CACHE", pathlib.Path.home() / ".cache/ollamamax"))
BUILD = ROOT / "build/asan"


def targets():
    return sorted(path.stem for path in (ROOT / "src").rglob("*_fuzz.cpp"))


def run(target, seconds):
    found = CACHE / "fuzz" / target
    artifacts = BUILD / "crashes" / target
    found.mkdir(parents=True, exist_ok=True)
    artifacts.mkdir(parents=True, exist_ok=True)
    command = [str(BUILD / target), str(found), str(ROOT / "test/corpus" / target),
               f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536",
               f"-artifact_prefix={artifacts}/", "-print_final_stats=1"]
    try:
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace",
                                timeout=seconds + 300)
    except subprocess.TimeoutExpired as hung:
        output = (hung.stdout or b"").decode(errors="replace")
        return target, 1, 0, f"{output}\nit did not end within {hung.timeout} s"
    runs = re.search(r"stat::number_of_executed_units: (\d+)", result.stdout)
    return target, result.returncode, int(runs.group(1)) if runs else 0, result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--target")
    arguments = parser.parse_args()
    wanted = [arguments.target] if arguments.target else targets()
    unknown = set(wanted) - set(targets())
    if unknown:
        print(f"no target {unknown.pop()}; there are: {', '.join(targets())}", file=sys.stderr)
        return 2
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "asan"], cwd=ROOT, check=True)
    subprocess.run(["ninja", "-C", str(BUILD), *wanted], cwd=ROOT, check=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for target, code, runs, output in pool.map(lambda t: run(t, arguments.seconds), wanted):
            ok = code == 0 and runs > 0
            failed += not ok
            print(f"{'ok  ' if ok else 'FAIL'} {target:<28} {runs} runs", flush=True)
            if not ok:
                print(output[-6000:])
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
