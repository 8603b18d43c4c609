#!/usr/bin/env python3
"""Runs the suites of official clients and prints "N passed, N failed".

With OLLAMA_HOST set they run against that node, which must have smollm2:135m. Otherwise a node of
the program OLLAMAMAX (build/release/ollamamax) is started on a folder of its own, with the models
of the cache. Arguments name the suites to run; all by default.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from support.node import MODELS, Node  # noqa: E402

SUITES = ["python", "js", "go", "schemathesis"]
SECONDS_MAX = 900
REQUIRED = "smollm2:135m"
# So small a model, left to chance, sometimes never ends its answer.
PARAMETERS = "PARAMETER num_predict 300\nPARAMETER temperature 0\n"


def create(node, name):
    modelfile = node.folder / "Modelfile"
    modelfile.write_text(f"FROM {MODELS[name]}\n{PARAMETERS}")
    node.cli("create", name, "-f", str(modelfile))


def run_suite(name, host):
    started = time.monotonic()
    try:
        result = subprocess.run([str(HERE / name / "run")], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX,
                                stdin=subprocess.DEVNULL, env=dict(os.environ, OLLAMA_HOST=host))
        code, output = result.returncode, result.stdout
    except subprocess.TimeoutExpired as error:
        code, output = 1, (error.stdout or b"").decode(errors="replace") + "\ntoo slow"
    print(output, flush=True)
    found = re.findall(rf"^{name}: (\d+) passed, (\d+) failed", output, re.M)
    passed, failed = map(int, found[-1]) if found else (0, 1)
    if code != 0 and failed == 0:
        failed = 1
    print(f"---- {name}: {time.monotonic() - started:.0f} s", flush=True)
    return passed, failed


def run_suites(names, host):
    results = [run_suite(name, host) for name in names]
    return sum(passed for passed, _ in results), sum(failed for _, failed in results)


def main():
    # A stopped run stops its node, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = sys.argv[1:] or SUITES
    if unknown := [name for name in names if name not in SUITES]:
        print(f"no suite {unknown[0]}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    if host := os.environ.get("OLLAMA_HOST"):
        passed, failed = run_suites(names, host)
    else:
        with Node() as node:
            for name, path in MODELS.items():
                if path.exists():
                    create(node, name)
                else:
                    print(f"{name} is left out: it is not in the cache (./run models)", flush=True)
                    if name == REQUIRED:
                        raise SystemExit(1)
            passed, failed = run_suites(names, node.host)
            if code := node.stop():
                print(f"the node ended with {code}")
                node.print_log()
                failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
