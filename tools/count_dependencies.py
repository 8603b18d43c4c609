#!/usr/bin/env python3
"""Counts what OllamaMax stands on, and fails above the limits or without a licence that fits.

- in the program: the Debian packages of the libraries that build/release/ollamamax loads (all that
  `ldd` lists, so direct and transitive), llama.cpp, which is linked in, and headers compiled in;
- to run it: the packages that those packages depend on in turn;
- to build it: the packages that `./run build` installs, and all they depend on.

Each must be told in docs/dependencies.md if it is ours to choose (direct); what the program loads
must be in the image of deploy/Dockerfile. Rules are counted.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNTIME_MAX = 100
# Compiled into the program without a library of their own.
HEADERS = ["libboost1.81-dev", "libcli11-dev", "libtomlplusplus-dev"]
LLAMA = ["llama.cpp", "nlohmann-json", "cpp-httplib"]  # From the source release; vendored there.
# Their licences let any program link them, though the file names the GPL: GCC's runtime exception
# and the LGPL of a shared library; zstd is BSD or GPL as one likes; OpenSSL's GPL is of scripts
# beside it, nettle's kin do not occur.
GPL_FINE = {"libc6": "LGPL, shared", "libgcc-s1": "GCC runtime exception",
            "libstdc++6": "GCC runtime exception", "libzstd1": "BSD-3-clause or GPL-2",
            "libssl3": "Apache-2.0; the GPL is of Perl scripts in its source",
            "libsqlite3-0": "public domain; the GPL is of the packaging"}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def owner(path):
    """The package that owns a library. Debian 12's merged /usr has two names for one file."""
    real = str(pathlib.Path(path).resolve())
    for name in (real, real.removeprefix("/usr"), path, "/usr" + path):
        found = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    return None


def libraries(program):
    paths = re.findall(r"(?:=> )?(/\S+) \(0x", output("ldd", str(program)))
    return {path: owner(path) for path in paths}


def closure(names):
    """The packages and all they depend on, as installed here (the first alternative that is)."""
    provides, depends = {}, {}
    fields = "${Package}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    listing = output("dpkg-query", "-W", "-f", fields)
    for line in listing.splitlines():
        package, provided, needed = line.split("\t")
        depends[package] = needed
        for word in [package, *provided.split(",")]:
            if word.strip():
                provides.setdefault(re.split(r"[ (:]", word.strip())[0], package)
    seen, todo = set(), [provides.get(name, name) for name in names]
    while todo:
        package = todo.pop()
        if package in seen or package not in depends:
            continue
        seen.add(package)
        for group in depends[package].split(","):
            for choice in group.split("|"):
                word = re.split(r"[ (:]", choice.strip())[0]
                if word in provides:
                    todo.append(provides[word])
                    break
    return seen


def build_packages():
    text = (ROOT / "run").read_text()
    return re.search(r"BUILD_PACKAGES=\((.*?)\)", text, re.S).group(1).split()


def image_packages():
    text = (ROOT / "deploy/Dockerfile").read_text()
    return re.search(r"--no-install-recommends(.*?)&&", text, re.S).group(1).split()


def gpl(package):
    for name in (package, package.split(":")[0]):
        path = pathlib.Path("/usr/share/doc") / name / "copyright"
        if path.exists():
            licences = re.findall(r"^License:\s*(.*)", path.read_text(errors="replace"), re.M)
            return any("GPL" in licence for licence in licences)
    return True  # Nothing to show that it fits.


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(ROOT / "build/release/ollamamax"))
    program = parser.parse_args().program
    if not pathlib.Path(program).exists():
        print(f"{program} is missing; run ./run build\n0 passed, 1 failed")
        return 1
    problems, passed = [], 0

    def rule(name, wrong):
        nonlocal passed
        wrong = list(wrong)
        if not wrong:
            passed += 1
        for line in wrong:
            problems.append(f"{name}: {line}")

    found = libraries(program)
    inside = {package for package in found.values() if package} | set(HEADERS)
    runtime = closure({package for package in found.values() if package})
    build = closure(build_packages())
    total = len(runtime | set(HEADERS)) + len(LLAMA)
    print(f"in the program: {len(inside) + len(LLAMA)}: {' '.join(sorted(inside) + LLAMA)}")
    print(f"to run it, with all they depend on: {total}")
    print(f"to build it: {len(build_packages())} named, {len(build)} with all they depend on")
    documented = (ROOT / "docs/dependencies.md").read_text()
    rule("a library without a package", (path for path, package in found.items() if not package))
    rule(f"more than {RUNTIME_MAX} at run time", [total] if total > RUNTIME_MAX else [])
    rule("GPL in the program", (p for p in inside if p not in GPL_FINE and gpl(p)))
    rule("not told in docs/dependencies.md",
         (p for p in sorted(inside | set(build_packages())) if f"`{p}`" not in documented))
    rule("not installed by deploy/Dockerfile",
         sorted({package for package in found.values() if package} - closure(image_packages())))
    for line in problems:
        print(line)
    print(f"{passed} passed, {5 - passed} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
