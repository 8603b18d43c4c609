#!/usr/bin/env python3
"""Runs every test suite, one after the other, and prints "N passed, N failed" as its last line.

A suite is a command; it counts its cases itself (GoogleTest's or unittest's summary, or a line
"N passed, N failed"). A suite that fails without a count counts as one failure.
"""

import argparse
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("OLLAMAMAX_CACHE", pathlib.Path.home() / ".cache/ollamamax"))
ASAN = ROOT / "build/asan"
RELEASE = ROOT / "build/release"
# Suites that start no program of the release build.
STATIC = {"tidy", "lint", "dependencies", "build", "units", "fuzz"}
SUITE_SECONDS_MAX = 2700  # clang-tidy over all files, nothing remembered


def count(output):
    """The cases passed and failed that a suite's output tells, or None."""
    if found := re.findall(r"^(?:\w+: )?(\d+) passed, (\d+) failed", output, re.M):
        return int(found[-1][0]), int(found[-1][1])
    passed = re.findall(r"^\[  PASSED  \] (\d+) test", output, re.M)
    if passed:
        failed = re.findall(r"^\[  FAILED  \] (\d+) test", output, re.M)
        return sum(map(int, passed)), sum(map(int, failed))
    if found := re.findall(r"(\d+) files found in", output):
        return int(found[-1]), 0
    return None


def processor_seconds():
    """What all children that have ended took of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def program_suites():
    """One suite for each test program that the asan build makes."""
    programs = sorted(ASAN.glob("*_test")) + sorted(ASAN.glob("*_fuzz"))
    for program in programs:
        arguments = [str(program)]
        if program.name.endswith("_fuzz"):
            arguments += ["-runs=0", f"-artifact_prefix={ASAN}/",
                          str(ROOT / "test/corpus" / program.name)]
        yield program.name, arguments


def suites():
    yield "tidy", ["python3", "tools/tidy.py"]
    yield "lint", ["python3", "tools/lint.py"]
    yield "dependencies", ["python3", "tools/count_dependencies.py"]
    yield "build", ["ninja", "-C", str(ASAN)]
    # What the other suites start: else a stale one would be tested.
    yield "programs", ["ninja", "-C", str(RELEASE),
                       "ollamamax", "fake_llama_server", "cluster_sim"]
    yield "units", None
    yield "simulation", [str(RELEASE / "cluster_sim"),
                         "--seeds", os.environ.get("SIMULATION_SEEDS", "500")]
    yield "planted bugs", [str(RELEASE / "cluster_sim"), "--planted", "20"]
    for script in sorted((ROOT / "test").glob("*/run_test.py")):
        yield script.parent.name, ["python3", str(script)]
    yield "clients", ["python3", "test/clients/run_all.py"]
    yield "fuzz", ["python3", "tools/fuzz.py", "--seconds", os.environ.get("FUZZ_SECONDS", "12")]


class Totals:
    def __init__(self):
        self.passed = self.failed = 0
        self.broken = []

    def run(self, name, command, counts=True):
        environment = dict(os.environ)
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=0")
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
        # Idle blocks of our pools are poisoned, and the links between them lie inside.
        environment["LSAN_OPTIONS"] = "use_poisoned=1"
        environment["OLLAMAMAX"] = str(RELEASE / "ollamamax")
        started, used = time.monotonic(), processor_seconds()
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            try:
                code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=subprocess.STDOUT, env=environment,
                                      timeout=SUITE_SECONDS_MAX).returncode
            except subprocess.TimeoutExpired:
                code = "no end within %d s" % SUITE_SECONDS_MAX
            except OSError as error:
                code = str(error)
            log.seek(0)
            output = log.read()
        passed, failed = count(output) or (0, 0)
        if code != 0 and failed == 0:
            failed = 1
        if code == 0 and passed == 0 and counts:
            failed, code = failed + 1, "no test ran"
        if not counts:
            passed = 0 if failed else 1
        self.passed += passed
        self.failed += failed
        seconds = time.monotonic() - started
        print(f"{'ok  ' if not failed else 'FAIL'} {name:<28} {passed:5} passed {failed:3} failed"
              f" {seconds:7.1f} s, {processor_seconds() - used:.0f} of processors", flush=True)
        if failed:
            self.broken.append(name)
            print(f"---- {name}: exit {code}")
            print(output[-12000:])
            print(f"---- end of {name}", flush=True)
        return not failed


def is_wanted(name, wanted):
    if not wanted or name in wanted:
        return True
    if name == "build":
        return "units" in wanted
    return name == "programs" and bool(wanted - STATIC)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the names of the suites")
    parser.add_argument("names", nargs="*", help="only these suites")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(name for name, _ in suites()))
        return 0
    known = {name for name, _ in suites()}
    for name in arguments.names:
        program = ASAN / name
        if name not in known and not program.exists():
            print(f"no suite '{name}'; there are: {', '.join(sorted(known))}", file=sys.stderr)
            return 2
    totals = Totals()
    wanted = set(arguments.names)
    for name, command in suites():
        if name == "units":
            if wanted and "units" not in wanted:
                chosen = [(n, c) for n, c in program_suites() if n in wanted]
            else:
                chosen = list(program_suites())
            for program, line in chosen:
                totals.run(program, line)
            continue
        if not is_wanted(name, wanted):
            continue
        builds = name in ("build", "programs")
        ok = totals.run(name, command, counts=not builds)
        if builds and not ok:
            break
    if totals.broken:
        print("failed: " + ", ".join(totals.broken))
    print(f"{totals.passed} passed, {totals.failed} failed")
    return 0 if totals.failed == 0 and totals.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
